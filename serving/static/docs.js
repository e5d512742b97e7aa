// What a page's own script would say; the page has none, so that its policy can forbid it.
SwaggerUIBundle({ url: "openapi.json", dom_id: "#page", deepLinking: true, validatorUrl: null });

import HTTPTypes
import Hummingbird
import NIOCore

/// The console: one page, its style and its script, from within the executable.
func consoleEndpoints() -> [Endpoint] {
    [
        asset(
            "/", name: "console", "text/html; charset=utf-8", PackageResources.console_html,
            summary: "The console: a page for people",
            details: """
                Made of nothing but this API, with the key that is entered: what it lets its owner do, the page does. No \
                script, style or picture comes from elsewhere, and the page forbids its browser to take any.
                """),
        asset(
            "/console.css", name: "consoleStyle", "text/css; charset=utf-8", PackageResources.console_css,
            summary: "The console's style"),
        asset(
            "/console.js", name: "consoleScript", "text/javascript; charset=utf-8",
            PackageResources.console_js,
            summary: "The console's script"),
    ]
}

private func asset(
    _ path: String, name: String, _ contentType: String, _ bytes: [UInt8], summary: String,
    details: String = ""
) -> Endpoint {
    Endpoint(
        .get, path, name: name, summary: summary, details: details, scope: nil,
        answers: [.text("As it is", contentType)]
    ) { _, _ in
        var headers: HTTPFields = [.contentType: contentType, .cacheControl: "no-cache"]
        for (name, value) in protections { if let name = HTTPField.Name(name) { headers[name] = value } }
        return Response(
            status: .ok, headers: headers, body: ResponseBody(byteBuffer: ByteBuffer(bytes: bytes)))
    }
}

/// What a browser must not do with the page, should anything foreign get into it.
private let protections = [
    (
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; base-uri 'none'; "
            + "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    ), ("X-Content-Type-Options", "nosniff"), ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"), ("Cross-Origin-Resource-Policy", "same-origin"),
]

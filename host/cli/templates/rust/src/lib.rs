//! Answers `GET /?name=Ada` with a greeting.

use fanlight_guest::{Method, Request, Response, info, server_span, span};

fanlight_guest::serve!(handle);

async fn handle(request: Request) -> Response {
    if (request.method(), request.path()) != (&Method::Get, "/") {
        return Response::text("try GET /?name=Ada\n").status(404);
    }
    server_span().set_route("/");
    let name = request.query_param("name").unwrap_or("world".into());
    let _span = span!("greet", "name.length" = name.len());
    let greeting = greeting(&name);
    info!("{greeting}");
    Response::text(greeting + "\n")
}

fn greeting(name: &str) -> String {
    format!("hello, {name}")
}

#[cfg(test)]
mod tests {
    use super::greeting;

    #[test]
    fn a_greeting_has_the_name() {
        assert_eq!(greeting("Ada"), "hello, Ada");
    }
}

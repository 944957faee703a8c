//! Sign-in with `/token` from a page of another origin: what a browser asks before, and what it lets the page read.

use reqwest::Method;
use serde_json::json;

use crate::support::{
    api::Answer,
    server::{Server, WORLD},
};

const PAGE: &str = "https://console.example.com";

fn preflight(server: &Server, origin: &str, method: &str) -> Answer {
    let request = server
        .http
        .request(Method::OPTIONS, &server.url("/token"))
        .header("origin", origin)
        .header("access-control-request-method", method)
        .header("access-control-request-headers", "authorization,content-type");
    server.http.send(request)
}

fn cors_headers(answer: &Answer) -> Vec<String> {
    let names = answer.headers.keys().map(|name| name.as_str().to_owned());
    let mut names: Vec<String> = names.filter(|name| name.starts_with("access-control-")).collect();
    names.sort();
    names
}

#[test]
fn a_page_of_a_configured_origin_signs_in_and_no_other_page() {
    let mut server = Server::prepared("");
    server.set(&format!("cors_origins = [\"{PAGE}\", \"http://127.0.0.1:3000\"]"));
    server.go();
    server.say(WORLD);
    let secret = server.secret_for("ada");
    for method in ["GET", "POST"] {
        let asked = preflight(&server, PAGE, method).expect(204);
        assert_eq!(asked.header("access-control-allow-origin"), Some(PAGE));
        assert_eq!(asked.header("access-control-allow-methods"), Some("GET, POST"));
        assert_eq!(asked.header("access-control-allow-headers"), Some("authorization, content-type"));
        assert_eq!(asked.header("vary"), Some("origin"));
        let few = ["allow-headers", "allow-methods", "allow-origin", "max-age"];
        assert_eq!(cors_headers(&asked), few.map(|name| format!("access-control-{name}")), "and no credentials");
    }
    let url = server.url("/token?service=rollcall&scope=repository:acme/db:pull");
    let sign_in = |password: &str, origin: Option<&str>| {
        let request = server.http.get(&url).basic_auth("ada", Some(password));
        let request = origin.into_iter().fold(request, |request, origin| request.header("origin", origin));
        server.http.send(request)
    };
    let told = sign_in(&secret, Some(PAGE)).expect(200);
    assert!(told.json()["token"].is_string());
    assert_eq!((told.header("access-control-allow-origin"), told.header("vary")), (Some(PAGE), Some("origin")));
    // The page reads why not, too.
    let told = sign_in("wrong", Some(PAGE)).expect(401);
    assert_eq!(told.header("access-control-allow-origin"), Some(PAGE));
    let form = format!("grant_type=password&service=rollcall&client_id=page&username=ada&password={secret}");
    let request = server.http.post(&server.url("/token")).header("origin", PAGE);
    let request = request.header("content-type", "application/x-www-form-urlencoded").body(form);
    let told = server.http.send(request).expect(200);
    assert_eq!(told.header("access-control-allow-origin"), Some(PAGE));
    // Of other origins nothing is let through, however like the right one they look.
    for origin in
        ["https://evil.example.com", "http://console.example.com", "https://console.example.com.evil.test", "null", "*"]
    {
        let asked = preflight(&server, origin, "GET").expect(405);
        assert!(cors_headers(&asked).is_empty(), "{origin}: {asked:?}");
        let told = sign_in(&secret, Some(origin)).expect(200);
        assert!(cors_headers(&told).is_empty() && told.header("vary") == Some("origin"), "{origin}: {told:?}");
    }
    assert!(cors_headers(&sign_in(&secret, None)).is_empty());
    // The API is no page's.
    let request = server.http.request(Method::OPTIONS, &server.url("/api/v1/users")).header("origin", PAGE);
    let asked = server.http.send(request.header("access-control-request-method", "GET"));
    assert!(asked.status != 204 && cors_headers(&asked).is_empty(), "{asked:?}");
}

#[test]
fn without_the_setting_no_page_signs_in_and_one_that_is_no_origin_refuses_to_start() {
    let server = Server::start();
    server.say(WORLD);
    let asked = preflight(&server, PAGE, "GET").expect(405);
    assert!(cors_headers(&asked).is_empty() && asked.header("vary").is_none(), "{asked:?}");
    for bad in ["*", "null", "https://console.example.com/", "console.example.com", "https://*.example.com"] {
        server.configure("");
        server.set(&format!("cors_origins = {}", json!([bad])));
        let checked = server.cli(&["config", "check"]);
        assert!(checked.code != 0, "{bad}");
        assert!(format!("{}{}", checked.out, checked.err).contains("server.cors_origins"), "{bad}: {}", checked.out);
    }
}

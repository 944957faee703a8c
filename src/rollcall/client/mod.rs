//! Asks a running server over HTTP, as any program would. Knows addresses, the key and what answers mean for an exit
//! code; knows no command.

use std::{path::Path, sync::Once, time::Duration};

use anyhow::Context;
use reqwest::{RequestBuilder, Response, StatusCode, Url};
use rollcall_app::{
    List, Page,
    operations::events::Event,
    words::nearest::{FormerName, NearestNames},
};
use rollcall_events::visible::{visible, visible_lines};
use secrecy::{ExposeSecret, SecretString};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::stderr::note;

/// What a command came to, as the exit code says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Yes, or done, or no difference.
    Yes = 0,
    /// No, or differences.
    No = 1,
}

/// Why a command has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// It was asked wrongly: exit code 2.
    #[error("{0}")]
    Usage(String),
    /// There is nobody who could answer: exit code 3.
    #[error("{0}")]
    Unreachable(String),
    /// The server understood and says no: exit code 1.
    #[error("{0}")]
    Refused(String),
}

impl Failure {
    /// The exit code.
    pub fn code(&self) -> u8 {
        match self {
            Self::Refused(_) => 1,
            Self::Usage(_) => 2,
            Self::Unreachable(_) => 3,
        }
    }
}

impl Failure {
    /// The same with more to say.
    pub fn with(self, more: &str) -> Self {
        match self {
            Self::Usage(text) => Self::Usage(text + more),
            Self::Unreachable(text) => Self::Unreachable(text + more),
            Self::Refused(text) => Self::Refused(text + more),
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Usage(format!("{error:#}"))
    }
}

/// A server and the key to ask it with.
pub struct Client {
    http: reqwest::Client,
    base: Url,
    key: SecretString,
}

impl Client {
    /// A client of the server there, which is asked by `http`.
    pub fn new(http: reqwest::Client, base: Url, key: SecretString) -> Self {
        Self { http, base, key }
    }

    /// The server's address, without a slash at its end.
    pub fn base(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// A request with the key in it.
    pub fn authorise(&self, request: RequestBuilder) -> RequestBuilder {
        request.bearer_auth(self.key.expose_secret())
    }

    /// # Errors
    /// A part of the path is what no name and no id can be: it would be another path.
    fn url(&self, path: &[&str], query: &[(&str, String)]) -> Result<Url, Failure> {
        match path.iter().find(|part| matches!(**part, "" | "." | "..")) {
            Some(part) => Err(Failure::Refused(format!("Nothing has the name or id `{part}`."))),
            None => Ok(url_below(&self.base, path, query)),
        }
    }

    /// Sends what was asked. Where a name of it is nobody's, what is told names those that are near.
    async fn send(&self, request: RequestBuilder, asked: &Asked<'_>) -> Result<Response, Failure> {
        let request = request.bearer_auth(self.key.expose_secret());
        let response = request.send().await.map_err(|error| unreachable(self.base(), &error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let (problem, status, url) = read_problem(response).await;
        let failure = failure_of(&problem, status, &url, &|_| None);
        let slug = problem.get("type").and_then(Value::as_str).and_then(|kind| kind.rsplit(':').next());
        let Some((kind, name)) = slug.and_then(|slug| asked.unknown(slug)) else { return Err(failure) };
        let NearestNames { items, former } = self.nearest(kind, &name).await;
        if let Some(FormerName { name: now, id, position, until }) = former {
            let until = until.map(|until| format!(" until {}", until.format("%Y-%m-%d %H:%M"))).unwrap_or_default();
            let event = position.map(|position| format!(" (event {position})")).unwrap_or_default();
            let (was, now) = (visible(&name), visible(&now));
            return Err(failure.with(&format!(" `{was}` was {}{until}{event}, who is `{now}` now.", visible(&id))));
        }
        let near = items.iter().map(|name| format!("`{}`", visible(name))).collect::<Vec<_>>().join(" or ");
        Err(if near.is_empty() { failure } else { failure.with(&format!(" Did you mean {near}?")) })
    }

    /// The names that are nearly this one; none where they cannot be told.
    async fn nearest(&self, kind: &str, name: &str) -> NearestNames {
        let none = NearestNames { items: Vec::new(), former: None };
        let query = [("kind", kind.to_owned()), ("name", name.to_owned())];
        let Ok(url) = self.url(&["api", "v1", "nearest"], &query) else { return none };
        let answer = self.http.get(url).bearer_auth(self.key.expose_secret()).send().await;
        match answer {
            Ok(answer) if answer.status().is_success() => {
                read_reply::<NearestNames>(answer).await.map_or(none, |reply| reply.value)
            }
            _ => none,
        }
    }

    /// Reads one thing.
    ///
    /// # Errors
    /// As [`Failure`].
    pub async fn get<T: DeserializeOwned>(&self, path: &[&str], query: &[(&str, String)]) -> Result<Reply<T>, Failure> {
        read_reply(self.send(self.http.get(self.url(path, query)?), &Asked::of(path, query)).await?).await
    }

    /// Reads text.
    ///
    /// # Errors
    /// As [`Failure`].
    pub async fn text(&self, path: &[&str], query: &[(&str, String)]) -> Result<String, Failure> {
        let response = self.send(self.http.get(self.url(path, query)?), &Asked::of(path, query)).await?;
        response.text().await.map_err(|error| unreachable(self.base(), &error))
    }

    /// Gives a command or asks a question that has a body.
    ///
    /// # Errors
    /// As [`Failure`].
    pub async fn post<T: DeserializeOwned>(&self, path: &[&str], body: &impl Serialize) -> Result<Reply<T>, Failure> {
        let asked = Asked { body: serde_json::to_value(body).unwrap_or_default(), ..Asked::of(path, &[]) };
        read_reply(self.send(self.http.post(self.url(path, &[])?).json(body), &asked).await?).await
    }

    /// As [`Self::post`] of a document that somebody wrote: `place` says where in it a mistake stands. With an entity tag,
    /// only if what is there is what it names.
    ///
    /// # Errors
    /// As [`Failure`].
    pub async fn post_document<T: DeserializeOwned>(
        &self,
        path: &[&str],
        document: &Value,
        place: &(dyn Fn(&str) -> Option<String> + Sync),
        tag: Option<&str>,
    ) -> Result<Reply<T>, Failure> {
        let request = self.http.post(self.url(path, &[])?).bearer_auth(self.key.expose_secret()).json(document);
        let request = tag.into_iter().fold(request, |request, tag| request.header("if-match", tag));
        let response = request.send().await.map_err(|error| unreachable(self.base(), &error))?;
        if response.status().is_success() {
            read_reply(response).await
        } else {
            Err(failure_from(response, place).await)
        }
    }

    /// States something whole.
    ///
    /// # Errors
    /// As [`Failure`].
    pub async fn put<T: DeserializeOwned>(&self, path: &[&str], body: &impl Serialize) -> Result<Reply<T>, Failure> {
        let asked = Asked { body: serde_json::to_value(body).unwrap_or_default(), ..Asked::of(path, &[]) };
        read_reply(self.send(self.http.put(self.url(path, &[])?).json(body), &asked).await?).await
    }

    /// Changes parts of something.
    ///
    /// # Errors
    /// As [`Failure`].
    pub async fn patch<T: DeserializeOwned>(&self, path: &[&str], body: &impl Serialize) -> Result<Reply<T>, Failure> {
        let asked = Asked { body: serde_json::to_value(body).unwrap_or_default(), ..Asked::of(path, &[]) };
        read_reply(self.send(self.http.patch(self.url(path, &[])?).json(body), &asked).await?).await
    }

    /// Ends something.
    ///
    /// # Errors
    /// As [`Failure`].
    pub async fn delete<T: DeserializeOwned>(&self, path: &[&str]) -> Result<Reply<T>, Failure> {
        read_reply(self.send(self.http.delete(self.url(path, &[])?), &Asked::of(path, &[])).await?).await
    }

    /// As [`Self::delete`], with a query.
    ///
    /// # Errors
    /// As [`Failure`].
    pub async fn delete_with<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, String)],
    ) -> Result<Reply<T>, Failure> {
        read_reply(self.send(self.http.delete(self.url(path, query)?), &Asked::of(path, query)).await?).await
    }

    /// The items of a list that is always whole.
    ///
    /// # Errors
    /// As [`Failure`].
    pub async fn items<T: DeserializeOwned>(&self, path: &[&str]) -> Result<Reply<Vec<T>>, Failure> {
        let Reply { mut json, value: List { items } } = self.get(path, &[]).await?;
        Ok(Reply { json: take_items(&mut json).into(), value: items })
    }

    /// Every page of a list, up to `most` items.
    ///
    /// # Errors
    /// As [`Failure`].
    pub async fn all_pages<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, String)],
        most: usize,
    ) -> Result<Reply<Vec<T>>, Failure> {
        let (mut json, mut value) = (Vec::new(), Vec::new());
        let mut url = self.url(path, query)?;
        url.query_pairs_mut().append_pair("limit", &most.clamp(1, 500).to_string());
        loop {
            let response = self.send(self.http.get(url), &Asked::of(path, query)).await?;
            let next = next_page(&self.base, response.headers());
            let mut page: Reply<Page<T>> = read_reply(response).await?;
            json.extend(take_items(&mut page.json));
            value.extend(page.value.items);
            match next {
                Some(next) if value.len() < most => url = next,
                _ => break,
            }
        }
        json.truncate(most);
        value.truncate(most);
        Ok(Reply { json: json.into(), value })
    }

    /// The events after a position that match, once the log has passed it, and how far was looked. `None`: nothing came.
    ///
    /// # Errors
    /// As [`Failure`].
    pub async fn events_after(
        &self,
        after: u64,
        query: &[(&str, String)],
        wait: Duration,
    ) -> Result<Option<(Vec<Reply<Event>>, u64)>, Failure> {
        let mut url = self.url(&["api", "v1", "events"], query)?;
        url.query_pairs_mut()
            .append_pair("after", &after.to_string())
            .append_pair("limit", "500")
            .append_pair("min_position", &(after + 1).to_string())
            .append_pair("wait", &format!("{}s", wait.as_secs()));
        let mut found = Vec::new();
        loop {
            let request = self.http.get(url).bearer_auth(self.key.expose_secret());
            let response = request.send().await.map_err(|error| unreachable(self.base(), &error))?;
            if response.status() == StatusCode::SERVICE_UNAVAILABLE && position(response.headers()).is_some() {
                return Ok(None);
            }
            if !response.status().is_success() {
                return Err(failure_from(response, &|_| None).await);
            }
            let reached = position(response.headers()).unwrap_or(after);
            let next = next_page(&self.base, response.headers());
            let Reply { mut json, value: Page { items, .. } } = read_reply(response).await?;
            found.extend(Reply { json: take_items(&mut json).into(), value: items }.each());
            match next {
                Some(next) => url = next,
                None => {
                    let last = found.last().map(|event: &Reply<Event>| event.value.position.0);
                    return Ok(Some((found, reached.max(last.unwrap_or_default()))));
                }
            }
        }
    }
}

/// An answer: as the server sent it, and as what it is.
pub struct Reply<T> {
    /// For programs.
    pub json: Value,
    /// For people, and to decide by.
    pub value: T,
}

impl<T> Reply<Vec<T>> {
    /// Each item by itself.
    pub fn each(mut self) -> Vec<Reply<T>> {
        let json = match self.json.take() {
            Value::Array(items) => items,
            _ => Vec::new(),
        };
        json.into_iter().zip(self.value).map(|(json, value)| Reply { json, value }).collect()
    }
}

fn take_items(list: &mut Value) -> Vec<Value> {
    match list.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    }
}

fn position(headers: &reqwest::header::HeaderMap) -> Option<u64> {
    headers.get("rollcall-position")?.to_str().ok()?.parse().ok()
}

/// A plain client; never through a proxy to the machine itself. With a file of authorities it trusts no others.
///
/// # Errors
/// When TLS cannot be set up.
pub fn http_client(base: &Url, authorities: Option<&Path>) -> anyhow::Result<reqwest::Client> {
    let builder = reqwest::Client::builder().connect_timeout(Duration::from_secs(5)).timeout(Duration::from_secs(600));
    let local = matches!(base.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    let builder = if local { builder.no_proxy() } else { builder };
    let builder = match authorities {
        None => builder,
        Some(path) => {
            let pem = std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
            let roots = reqwest::Certificate::from_pem_bundle(&pem);
            let roots = roots.ok().filter(|roots| !roots.is_empty());
            builder.tls_certs_only(roots.with_context(|| format!("{} holds no certificate (PEM)", path.display()))?)
        }
    };
    Ok(builder.user_agent(concat!("rollcall/", env!("CARGO_PKG_VERSION"))).build()?)
}

/// An address below another one; every segment is written so that it stays one.
pub fn url_below(base: &Url, path: &[&str], query: &[(&str, String)]) -> Url {
    let mut url = base.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(path);
    }
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    url
}

/// Nobody answered.
pub fn unreachable(base: &str, error: &reqwest::Error) -> Failure {
    // The deepest cause says what happened; the text above it repeats the address.
    let mut deepest: &dyn std::error::Error = error;
    while let Some(cause) = deepest.source() {
        deepest = cause;
    }
    let text = deepest.to_string();
    let what_to_do = if text.contains("certificate") {
        "Name the authority that signed its certificate with --ca-file, and the server as the certificate does"
    } else {
        "Is `rollcall serve` running there?"
    };
    Failure::Unreachable(format!("{base} does not answer: {text}. {what_to_do}"))
}

async fn read_reply<T: DeserializeOwned>(response: Response) -> Result<Reply<T>, Failure> {
    let url = response.url().clone();
    if let Some(why) = response.headers().get("rollcall-stale").and_then(|why| why.to_str().ok()) {
        static TOLD: Once = Once::new();
        let told = || note(&format!("rollcall: what the server knows may be old: {}\n", visible_lines(why)));
        TOLD.call_once(told);
    }
    let bytes = response.bytes().await.map_err(|error| unreachable(url.as_str(), &error))?;
    let bytes = if bytes.is_empty() { &b"null"[..] } else { &bytes };
    let json = serde_json::from_slice(bytes)
        .map_err(|_| Failure::Unreachable(format!("{url} is not a Rollcall server: its answer is not JSON")))?;
    let value = serde_json::from_slice(bytes).map_err(|error| {
        Failure::Unreachable(format!(
            "{url} is a Rollcall server of another version: its answer is not understood: {error}"
        ))
    })?;
    Ok(Reply { json, value })
}

/// What was asked, to find in it the name that is nobody's.
struct Asked<'a> {
    path: &'a [&'a str],
    query: &'a [(&'a str, String)],
    body: Value,
}

impl<'a> Asked<'a> {
    fn of(path: &'a [&'a str], query: &'a [(&'a str, String)]) -> Self {
        Self { path, query, body: Value::Null }
    }

    /// The kind of thing that a problem says is not there, and what was written for its name.
    fn unknown(&self, problem: &str) -> Option<(&'static str, String)> {
        let (kind, list) = match problem {
            "unknown-user" => ("user", "users"),
            "unknown-project" => ("project", "projects"),
            "unknown-group" => ("group", "groups"),
            "unknown-service" => ("service", "services"),
            "unknown-folder" => ("folder", "folders"),
            "unknown-source" => ("source", "sources"),
            "invalid-query" if self.query.iter().any(|(key, _)| *key == "account") => ("account", "accounts"),
            _ => return None,
        };
        let in_path = || {
            let named = |part: &&str| *part == list || *part == kind;
            let at = self.path.iter().rposition(named)?;
            self.path.get(at + 1..)?.first().map(|name| (*name).to_owned())
        };
        let in_query = || {
            let is_name = |key: &str| key == kind || (kind == "group" && key == "name");
            self.query.iter().find(|(key, _)| is_name(key)).map(|(_, value)| value.clone())
        };
        Some((kind, in_query().or_else(|| member(&self.body, kind)).or_else(in_path)?))
    }
}

/// The text of a member, at any depth.
fn member(value: &Value, key: &str) -> Option<String> {
    let members = value.as_object()?;
    let own = members.get(key).and_then(Value::as_str).map(str::to_owned);
    own.or_else(|| members.values().find_map(|inner| member(inner, key)))
}

/// What a problem says, for people. `place` knows where something stands in what they wrote.
async fn failure_from(response: Response, place: &(dyn Fn(&str) -> Option<String> + Sync)) -> Failure {
    let (problem, status, url) = read_problem(response).await;
    failure_of(&problem, status, &url, place)
}

async fn read_problem(response: Response) -> (Value, StatusCode, Url) {
    let (status, url) = (response.status(), response.url().clone());
    (response.json().await.unwrap_or_default(), status, url)
}

fn failure_of(
    problem: &Value,
    status: StatusCode,
    url: &Url,
    place: &(dyn Fn(&str) -> Option<String> + Sync),
) -> Failure {
    let word = |key: &str| visible(problem.get(key).and_then(Value::as_str).unwrap_or_default()).into_owned();
    let detail = [word("detail"), word("title")].into_iter().find(|text| !text.is_empty());
    let mut text = detail.unwrap_or_else(|| format!("{url} answers {status}"));
    let errors = problem.get("errors").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    for (nth, error) in errors.iter().enumerate() {
        let word = |key: &str| visible(error.get(key).and_then(Value::as_str).unwrap_or_default());
        match place(&word("pointer")) {
            // What it is the detail says.
            Some(place) if nth == 0 => text.insert_str(0, &format!("{place}: ")),
            None if text.contains(word("expected").as_ref()) => {}
            Some(place) => text.push_str(&format!("\n  {place}: {}", word("expected"))),
            None => text.push_str(&format!("\n  {}: {}", word("pointer"), word("expected"))),
        }
    }
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => Failure::Usage(text),
        status if status.is_server_error() => Failure::Unreachable(text),
        _ => Failure::Refused(text),
    }
}

fn next_page(base: &Url, headers: &reqwest::header::HeaderMap) -> Option<Url> {
    let links = headers.get("link")?.to_str().ok()?;
    let next = links.split(',').find(|link| link.contains("rel=\"next\""))?;
    let target = next.split('<').nth(1)?.split('>').next()?;
    base.join(target).ok().filter(|url| url.origin() == base.origin())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_one_segment() {
        let base = Url::parse("http://127.0.0.1:8080/rollcall/").unwrap();
        let url = url_below(&base, &["api", "v1", "users", "ada/x y@globex.test", "secrets"], &[("a", "b&c".into())]);
        assert_eq!(url.as_str(), "http://127.0.0.1:8080/rollcall/api/v1/users/ada%2Fx%20y@globex.test/secrets?a=b%26c");
    }

    #[test]
    fn what_can_be_no_name_is_no_path_either() {
        let client = Client::new(reqwest::Client::new(), Url::parse("http://127.0.0.1:8080").unwrap(), "rk_x".into());
        for name in ["", ".", ".."] {
            let refused = client.url(&["api", "v1", "users", name, "secrets"], &[]).unwrap_err();
            assert_eq!((refused.code(), refused.to_string()), (1, format!("Nothing has the name or id `{name}`.")));
        }
        assert!(client.url(&["api", "v1", "users", "...", "secrets"], &[]).is_ok());
    }

    #[test]
    fn the_next_page_is_never_another_server() {
        let base = Url::parse("http://127.0.0.1:8080").unwrap();
        let link = |text: &str| {
            let mut headers = reqwest::header::HeaderMap::new();
            headers.insert("link", text.parse().unwrap());
            next_page(&base, &headers).map(|url| url.to_string())
        };
        assert_eq!(
            link("</api/v1/events?cursor=x>; rel=\"next\"").as_deref(),
            Some("http://127.0.0.1:8080/api/v1/events?cursor=x")
        );
        assert_eq!(link("<https://elsewhere.test/>; rel=\"next\""), None);
        assert_eq!(link("</x>; rel=\"prev\""), None);
    }
}

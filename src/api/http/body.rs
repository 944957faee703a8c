//! Request bodies: cut at a limit and a time while they stream, then read strictly.
//! Nothing here looks at what a body means.

use std::time::Duration;

use axum::{
    body::Body,
    extract::{FromRequest, Request},
    http::{HeaderMap, header},
};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use rollcall_events::{
    SchemaError,
    json::{self, place, syntax_error},
};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use crate::http::{
    body_budget::BodyShare,
    problem::{Kind, Problem, Result},
};

/// The most bytes of an API request's body. Hooks have their own limit per source.
pub(crate) const MAX_BODY_BYTES: usize = 64 * 1024;
/// How long an API request's body may take to arrive.
pub(crate) const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Reads a body that holds at most `limit` bytes and arrives, whole, within `timeout`.
///
/// A stated length above the limit is refused before anything is read, a stream at the byte that is one too many; no
/// more than the limit is ever kept (security.md, row 14).
pub(crate) async fn read_body(headers: &HeaderMap, body: Body, limit: usize, timeout: Duration) -> Result<Bytes> {
    read_counted(headers, body, limit, timeout, |_| Ok(())).await
}

/// As [`read_body`], of a caller whom nobody knows before the body is there: what arrives is taken out of a share.
pub(crate) async fn read_unknown_body(
    headers: &HeaderMap,
    body: Body,
    limit: usize,
    timeout: Duration,
    mut share: BodyShare<'_>,
) -> Result<Bytes> {
    read_counted(headers, body, limit, timeout, |bytes| share.take(bytes)).await
}

async fn read_counted(
    headers: &HeaderMap,
    body: Body,
    limit: usize,
    timeout: Duration,
    mut take: impl FnMut(usize) -> Result<()>,
) -> Result<Bytes> {
    let too_large = || {
        Kind::TooLarge.because(format!(
            "At most {limit} bytes are taken here. Send less at once, or have the operator raise the limit."
        ))
    };
    let stated = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse::<u64>().ok());
    if stated.is_some_and(|stated| stated > limit as u64) {
        return Err(too_large());
    }
    let mut stream = body.into_data_stream();
    let whole = async {
        let mut kept = BytesMut::new();
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|_| Kind::BodyTimeout.because("The body broke off; send it again."))?;
            if chunk.len() > limit - kept.len() {
                return Err(too_large());
            }
            take(chunk.len())?;
            kept.extend_from_slice(&chunk);
        }
        Ok(kept.freeze())
    };
    tokio::time::timeout(timeout, whole).await.unwrap_or_else(|_| {
        Err(Kind::BodyTimeout.because(format!("The body did not arrive within {timeout:?}; send it again, faster.")))
    })
}

/// The most bytes of a body that holds a whole document.
pub(crate) const MAX_DOCUMENT_BYTES: usize = 1024 * 1024;

/// As [`JsonBody`], for a whole document: a profile, all bindings of many projects.
pub(crate) struct LargeJsonBody<T>(pub T);

impl<T: DeserializeOwned + ToSchema, S: Send + Sync> FromRequest<S> for LargeJsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        read_json(request, MAX_DOCUMENT_BYTES).await.map(Self)
    }
}

/// A JSON body of the right shape. An absent body counts as `{}`.
pub(crate) struct JsonBody<T>(pub T);

impl<T: DeserializeOwned + ToSchema, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        read_json(request, MAX_BODY_BYTES).await.map(Self)
    }
}

async fn read_json<T: DeserializeOwned + ToSchema>(request: Request, limit: usize) -> Result<T> {
    let (parts, body) = request.into_parts();
    let bytes = read_body(&parts.headers, body, limit, BODY_TIMEOUT).await?;
    if bytes.is_empty() {
        return read_shape("{}");
    }
    if let Some(encoding) = content_encoding(&parts.headers) {
        return Err(Kind::UnsupportedMediaType
            .because(format!("Send the body as it is: content encoding `{encoding}` is not undone here.")));
    }
    if !is_json(&parts.headers) {
        return Err(Kind::UnsupportedMediaType.because("Send the body as `Content-Type: application/json`."));
    }
    // Some programs write a byte order mark, and none means it.
    let bytes = json::without_mark(&bytes);
    let malformed = || {
        let found = syntax_error(bytes).map(|error| format!(": {error} ({})", place(bytes, error.at)));
        Kind::MalformedJson.because(format!("The body is no JSON{}.", found.unwrap_or_default()))
    };
    let text = std::str::from_utf8(bytes).map_err(|_| malformed())?;
    if serde_json::from_str::<IgnoredAny>(text).is_err() {
        return Err(malformed());
    }
    read_shape(text)
}

fn read_shape<T: DeserializeOwned + ToSchema>(text: &str) -> Result<T> {
    // serde would read a list as a shape's members in order, and an empty one as a shape without members.
    let object = if text.trim_start().starts_with('{') {
        Ok(())
    } else {
        Err(SchemaError::at("", "an object, `{..}`, encoded once"))
    };
    object
        .and_then(|()| json::read_as(text, schema::<T>))
        .map_err(|error| Kind::InvalidBody.because(format!("{error}. Nothing was changed.")).with_field(error))
}

/// The schema of a body as the OpenAPI document has it, and where it is in what references point to.
fn schema<T: ToSchema>() -> (Value, &'static str) {
    let mut named = Vec::new();
    T::schemas(&mut named);
    let named = named.into_iter().filter_map(|(name, schema)| Some((name, serde_json::to_value(schema).ok()?)));
    let named: Map<String, Value> = named.collect();
    (json!({"components": {"schemas": named}, "body": T::schema()}), "/body")
}

/// How a body is encoded, where it is not as it is.
fn content_encoding(headers: &HeaderMap) -> Option<String> {
    let all = headers.get_all(header::CONTENT_ENCODING).iter();
    let mut all = all.map(|value| String::from_utf8_lossy(value.as_bytes()).trim().to_ascii_lowercase());
    let encoding = all.find(|value| !value.is_empty() && value != "identity")?;
    Some(encoding.chars().take(40).flat_map(char::escape_debug).collect())
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

/// A body without members: `{}` or nothing.
#[derive(Debug, serde::Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EmptyBody {}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    async fn read(body: Body, length: Option<&str>) -> Result<Bytes> {
        let mut headers = HeaderMap::new();
        if let Some(length) = length {
            headers.insert(header::CONTENT_LENGTH, length.parse().unwrap());
        }
        read_body(&headers, body, 10, Duration::from_secs(5)).await
    }

    #[tokio::test]
    async fn a_stated_length_over_the_limit_is_refused_before_a_byte_is_read() {
        let never = Body::from_stream(stream::poll_fn(|_| -> std::task::Poll<Option<Result<Bytes, std::io::Error>>> {
            panic!("the body was read")
        }));
        assert_eq!(read(never, Some("11")).await.unwrap_err().kind(), Kind::TooLarge);
    }

    #[tokio::test]
    async fn an_endless_body_is_cut_at_the_limit() {
        use std::sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        };
        let sent = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&sent);
        let endless = stream::repeat_with(move || {
            counter.fetch_add(4, Ordering::Relaxed);
            Ok::<_, std::io::Error>(Bytes::from_static(b"aaaa"))
        });
        assert_eq!(read(Body::from_stream(endless), None).await.unwrap_err().kind(), Kind::TooLarge);
        assert_eq!(sent.load(Ordering::Relaxed), 12, "one chunk past the limit, no more");
        assert_eq!(&read(Body::from("0123456789"), Some("10")).await.unwrap()[..], b"0123456789");
    }

    #[tokio::test]
    async fn a_body_that_never_ends_is_cut_by_the_clock() {
        let silent = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
        let cut = read_body(&HeaderMap::new(), silent, 10, Duration::from_millis(1)).await;
        assert_eq!(cut.unwrap_err().kind(), Kind::BodyTimeout);
    }

    #[derive(Debug, serde::Deserialize, ToSchema)]
    #[serde(deny_unknown_fields)]
    struct Shape {
        #[serde(default)]
        #[expect(dead_code, reason = "read for its errors")]
        inner: Option<Inner>,
    }
    #[derive(Debug, serde::Deserialize, ToSchema)]
    #[serde(deny_unknown_fields)]
    struct Inner {}

    #[test]
    fn an_unknown_member_is_refused_at_its_own_pointer() {
        let pointer = |text| read_shape::<Shape>(text).unwrap_err();
        assert!(format!("{:?}", pointer(r#"{"has_admin_role":true}"#)).contains("/has_admin_role"));
        assert!(format!("{:?}", pointer(r#"{"inner":{"a/b":1}}"#)).contains("/inner/a~1b"));
        assert!(read_shape::<Shape>("{}").is_ok());
    }
}

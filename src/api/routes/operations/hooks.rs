//! `POST /hooks/{source}`: one webhook delivery in, what became of each event out (DESIGN 10). `OPTIONS` there: whether
//! whoever asks may post.
//! Cuts the body; signature, keeping and appending are ingest's.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{
    Extension,
    body::Body,
    extract::{ConnectInfo, Path, RawQuery},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use rollcall_app::operations::deliveries::{self, HookAnswer};
use rollcall_ingest::{InboundCall, connector::ClientCertificate};

use crate::http::{
    body::{BODY_TIMEOUT, read_unknown_body},
    extractors::TakeDelivery,
    problem::{Kind, ProblemDocument, Result},
    query::{Pairs, Wait},
    response,
};

/// Takes one delivery of a source.
///
/// The body is signed under the Standard Webhooks headers, or the source shows a bearer token or a client certificate, as it
/// is configured. The canonical form takes CloudEvents 1.0. 202 means that everything in it is durable. Sending the same again is always safe.
#[utoipa::path(
    post, path = "/hooks/{source}", tag = "hooks", operation_id = "receive",
    params(
        ("source" = String, Path, description = "The configured name of the source"),
        ("wait" = Option<String>, Query, description = "Answer with the effects too, once applied; at most this long, e.g. `2s`")
    ),
    request_body(content_type = "application/cloudevents+json", description = "What the source's format sends, at most its `max_body` bytes"),
    responses(
        (status = 202, description = "Durable", body = HookAnswer),
        (status = "4XX", description = "Not taken", body = ProblemDocument, content_type = "application/problem+json"),
        (status = "5XX", description = "Send it again", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("signature" = []))
)]
pub(crate) async fn receive(
    TakeDelivery { app, unverified }: TakeDelivery,
    Path(source): Path<String>,
    RawQuery(query): RawQuery,
    peer: Option<Extension<ConnectInfo<SocketAddr>>>,
    certificate: Option<Extension<Arc<dyn ClientCertificate>>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response> {
    let limit = deliveries::max_body(&app, &source)?;
    let wait = requested_wait(query.as_deref())?;
    let client = peer.map(|Extension(ConnectInfo(address))| address.ip());
    let share = unverified.share(client.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), limit);
    // Given back with the last byte: nothing is waited for between that and the check.
    let body = read_unknown_body(&headers, body, limit, BODY_TIMEOUT, share).await;
    let body = body.map_err(|problem| match problem.kind() {
        Kind::TooLarge => Kind::TooLarge.because(format!(
            "At most {limit} bytes are taken in one delivery. Send less at once, or have the operator raise `max_body` of \
             the source, or `server.max_body`."
        )),
        _ => problem,
    })?;
    let certificate = certificate.map(|Extension(certificate)| certificate);
    let answer = deliveries::receive(&app, &source, InboundCall { headers, body, client, certificate }, wait).await?;
    response::json(StatusCode::ACCEPTED, answer.position(), &answer)
}

/// Whether a sender may post here, asked before it does.
///
/// The handshake of CloudEvents' HTTP webhooks: the sender states its name in `WebHook-Request-Origin`, and is allowed where
/// the operator wrote that name down (`webhook_origins`). It lets nobody in: each delivery shows whose it is.
#[utoipa::path(
    options, path = "/hooks/{source}", tag = "hooks", operation_id = "validate_hook",
    params(
        ("source" = String, Path, description = "The configured name of the source"),
        ("WebHook-Request-Origin" = String, Header, description = "The sender's name, as in `eventgrid.example.com`"),
    ),
    responses(
        (status = 200, description = "Allowed: `WebHook-Allowed-Origin` has the name, `WebHook-Allowed-Rate` is `*`"),
        (status = "4XX", description = "Not allowed", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(())
)]
pub(crate) async fn validate(
    TakeDelivery { app, .. }: TakeDelivery,
    Path(source): Path<String>,
    headers: HeaderMap,
) -> Result<Response> {
    let mut stated = headers.get_all("webhook-request-origin").iter();
    let origin = match (stated.next(), stated.next()) {
        (Some(origin), None) => origin,
        _ => {
            return Err(Kind::InvalidQuery.because(
                "State the sender's name once, in the header `WebHook-Request-Origin`, to ask whether it may post.",
            ));
        }
    };
    let name = origin.to_str().unwrap_or_default();
    if !deliveries::allows(&app, &source, name)? {
        return Err(Kind::Forbidden.because(
            "This sender is none of the source's `webhook_origins`: the operator of Rollcall writes its name there.",
        ));
    }
    let allowed = [("webhook-allowed-origin", origin.clone()), ("webhook-allowed-rate", HeaderValue::from_static("*"))];
    let mut answer = StatusCode::OK.into_response();
    answer.headers_mut().extend(allowed.map(|(name, value)| (HeaderName::from_static(name), value)));
    answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
    Ok(answer)
}

fn requested_wait(query: Option<&str>) -> Result<Option<Duration>> {
    let mut pairs = Pairs::parse(query)?;
    let wait = pairs.take::<Wait>("wait", Wait::FORM)?;
    pairs.refuse_unknown("`wait`")?;
    Ok(wait.map(|Wait(wait)| wait))
}

//! A source that is asked by HTTP: its listings read as a whole, page by page, and asked for what changed lately. What is on
//! a page is mapped like what is posted.

mod cache;
mod follow;
#[cfg(test)]
mod tests;

use std::{collections::HashSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use rollcall_events::{Body, Order, SourceName};
use rollcall_ingest::{
    DeliveryId,
    connector::{
        ChangeSink, Fact, Failure, MappedEvent, PersonalData, Problem, ProblemType, Pull, Scope, Snapshot,
        SnapshotBuilder,
    },
    validate,
};
use rollcall_outbound::{Answer, Client, Fault, Url, Validators, shown};
use tokio::sync::Mutex;

use self::cache::Cache;
use crate::{Mapping, Paging};

/// How many pages one listing may have.
const MAX_PAGES: usize = 100_000;
/// How often a page is asked for that is not given now.
const MAX_TRIES: u32 = 5;
/// The longest that is waited for a page; who asks for more is asked again when the time has come.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// One of the listings that a source is read from.
#[derive(Debug)]
pub struct Listing {
    /// Its first page.
    pub url: Url,
    /// What its pages say.
    pub paging: Paging,
    /// What has changed since an instant: a URL in which `{since}` stands for it.
    pub changed: Option<String>,
}

/// A source that is asked by HTTP, configured. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Listings(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    source: SourceName,
    client: Client,
    listings: Vec<Arc<Listing>>,
    mapping: Mapping,
    scope: Scope,
    /// How often it is asked for what changed.
    poll: Duration,
    cache: Mutex<Cache>,
    /// The first pause before a page is asked for again.
    pause: Duration,
}

impl Listings {
    /// A source that is asked through this client. `scope` says what decides who is there.
    #[must_use]
    pub fn new(
        source: SourceName,
        client: Client,
        listings: Vec<Listing>,
        mapping: Mapping,
        scope: Scope,
        poll: Duration,
    ) -> Self {
        let listings = listings.into_iter().map(Arc::new).collect();
        let (cache, pause) = (Mutex::default(), Duration::from_secs(1));
        Self(Arc::new(Inner { source, client, listings, mapping, scope, poll, cache, pause }))
    }

    /// Asks for the first page of each listing, and says what came of it: its URL, and how many facts of how many items, or
    /// what is wrong.
    pub async fn inspect(&self, now: DateTime<Utc>) -> Vec<(String, Result<(usize, usize), String>)> {
        let mut found = Vec::new();
        for listing in &self.0.listings {
            let came = match self.0.client.get(&listing.url, &Validators::default(), now).await {
                Ok(Answer::Fresh { body, .. }) => {
                    self.facts(listing, body).await.map(|page| (page.items, page.facts.len()))
                }
                Ok(Answer::Unchanged) => Ok((0, 0)),
                Err(fault) => Err(fault.into_failure()),
            };
            found.push((shown(&listing.url), came.map_err(|failure| failure.to_string())));
        }
        found
    }

    /// A page, waited for where it is not given now.
    async fn page(&self, url: &Url, known: &Validators, now: DateTime<Utc>) -> Result<Answer, Failure> {
        let mut pause = self.0.pause;
        let mut tries = 1;
        loop {
            let fault = match self.0.client.get(url, known, now).await {
                Ok(answer) => return Ok(answer),
                Err(fault) => fault,
            };
            let wait = match &fault {
                Fault::NotNow { retry_after: Some(asked), .. } => *asked,
                Fault::NotNow { retry_after: None, .. } | Fault::Unreachable(_) => pause,
                _ => return Err(fault.into_failure()),
            };
            if tries == MAX_TRIES || wait > MAX_WAIT {
                return Err(fault.into_failure());
            }
            tokio::time::sleep(wait).await;
            (pause, tries) = (pause.saturating_mul(2), tries + 1);
        }
    }

    /// What a page says, off the threads that answer: a page can be large.
    async fn facts(&self, listing: &Arc<Listing>, body: Bytes) -> Result<PageFacts, Failure> {
        let (inner, listing) = (Arc::clone(&self.0), Arc::clone(listing));
        let reading = tokio::task::spawn_blocking(move || inner.read_page(&listing, &body));
        reading.await.unwrap_or_else(|_| Err(Failure::Partial("the mapping failed: a defect of Rollcall".to_owned())))
    }

    /// Goes through the pages from a URL on. `take` is given what each says.
    async fn pages(
        &self,
        listing: &Arc<Listing>,
        first: Url,
        now: DateTime<Utc>,
        mut cache: Option<&mut Cache>,
        mut take: impl FnMut(Vec<Fact>) + Send,
    ) -> Result<(), Failure> {
        let (mut url, mut seen, mut items, mut total) = (first, HashSet::new(), 0, None);
        loop {
            let nth = seen.len() + 1;
            let partial = |what: String| Failure::Partial(format!("{}, page {nth}: {what}", shown(&listing.url)));
            let known = cache.as_ref().and_then(|cache| cache.validators(&url)).unwrap_or_default();
            let body = match self.page(&url, &known, now).await? {
                Answer::Fresh { body, validators } => {
                    if let Some(cache) = &mut cache {
                        cache.keep(&url, validators, &body);
                    }
                    body
                }
                Answer::Unchanged => {
                    let kept = cache.as_mut().and_then(|cache| cache.take_up(&url));
                    kept.ok_or_else(|| partial("it is said to be as it was, and is not known".to_owned()))?
                }
            };
            let page = self.facts(listing, body).await.map_err(|failure| match failure {
                Failure::Partial(what) => partial(what),
                other => other,
            })?;
            items += page.items as u64;
            if total.is_some() && page.total != total {
                return Err(partial(
                    "it says otherwise how many there are than the pages before: it changed meanwhile".to_owned(),
                ));
            }
            total = page.total;
            take(page.facts);
            let Some(next) = page.next else { break };
            let next = url.join(&next).map_err(|error| partial(format!("`next` is no URL: {error}")))?;
            seen.insert(std::mem::replace(&mut url, next));
            if seen.contains(&url) {
                return Err(partial("the next page is one that was read already".to_owned()));
            }
            if seen.len() >= MAX_PAGES {
                return Err(partial(format!("more than {MAX_PAGES} pages")));
            }
        }
        match total {
            Some(total) if total != items => {
                Err(Failure::Partial(format!("{}: {items} items of {total} were on its pages", shown(&listing.url))))
            }
            _ => Ok(()),
        }
    }
}

/// What a page says.
struct PageFacts {
    facts: Vec<Fact>,
    items: usize,
    next: Option<String>,
    total: Option<u64>,
}

impl Inner {
    /// What an item says, held to what holds for deliveries. What orders it is when it is read.
    fn fact(&self, event: MappedEvent) -> Result<Fact, Problem> {
        let (read, delivery) = (DateTime::UNIX_EPOCH, DeliveryId::new(DateTime::UNIX_EPOCH, [0; 10]));
        let valid = validate(&self.source, Order::Observed, &delivery, read, read, event)?;
        let body = Body::parse(&valid.event.kind, &valid.event.data);
        let body = body.map_err(|error| Problem::of(ProblemType::InvalidData, error))?;
        let personal = valid.personal.map(|of| PersonalData { email: of.email, name: of.name });
        Ok(Fact { body, personal })
    }

    fn read_page(&self, listing: &Listing, body: &[u8]) -> Result<PageFacts, Failure> {
        let page = listing.paging.read(body).map_err(|problem| unread(&problem))?;
        let mut facts = Vec::new();
        for (nth, parts) in self.mapping.map_each(&page.items).into_iter().enumerate() {
            for part in parts {
                let fact = part.map_err(|error| error.problem).and_then(|event| self.fact(event));
                facts.push(fact.map_err(|problem| match unread(&problem) {
                    Failure::Partial(what) => Failure::Partial(format!("item {}: {what}", nth + 1)),
                    other => other,
                })?);
            }
        }
        Ok(PageFacts { facts, items: page.items.len(), next: page.next, total: page.total })
    }
}

/// What is not read is not known, so nothing is concluded from the rest.
fn unread(problem: &Problem) -> Failure {
    let at = if problem.pointer.is_empty() { String::new() } else { format!(" at {}", problem.pointer) };
    Failure::Partial(format!("{}{at}: {}", problem.kind, problem.detail))
}

trait IntoFailure {
    fn into_failure(self) -> Failure;
}

impl IntoFailure for Fault {
    fn into_failure(self) -> Failure {
        let reason = self.to_string();
        match self {
            Self::Unreachable(why) => Failure::Unreachable(why),
            Self::Unauthorised(_) => Failure::Unauthorised(reason),
            Self::NotNow { retry_after, .. } => Failure::Blind { reason, retry_after },
            Self::Elsewhere(_) | Self::Private { .. } | Self::Unexpected(_) => Failure::Partial(reason),
        }
    }
}

#[async_trait]
impl Pull for Listings {
    fn scope(&self) -> Scope {
        self.0.scope.clone()
    }

    async fn read(&self, mut builder: SnapshotBuilder) -> Result<Snapshot, Failure> {
        let now = builder.now();
        let mut cache = self.0.cache.lock().await;
        for listing in &self.0.listings {
            let section = builder.open_section(shown(&listing.url));
            // What is ended is not there: that it is not stated says so.
            let take = |facts: Vec<Fact>| {
                facts.into_iter().filter(|fact| !fact.body.is_removal()).for_each(|fact| builder.add(fact))
            };
            self.pages(listing, listing.url.clone(), now, Some(&mut *cache), take).await?;
            builder.close_section(section);
        }
        cache.forget_the_rest();
        builder.seal()
    }

    fn follows(&self) -> bool {
        self.0.listings.iter().any(|listing| listing.changed.is_some())
    }

    async fn follow(&self, sink: ChangeSink) -> Failure {
        match follow::changes(self, &sink).await {
            Ok(never) => match never {},
            Err(failure) => failure,
        }
    }
}

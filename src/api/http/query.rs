//! Query parameters: strict, each once, unknown ones refused; freshness, paging and cursors alike on every route.
//! Knows no resource.

use std::{str::FromStr, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rollcall_app::{PageRequest, parse_log_id};
use rollcall_events::{Digest, LogId, Position, json};
use serde::{Deserialize, de::DeserializeOwned};
use utoipa::IntoParams;

use crate::http::problem::{Kind, Problem, Result};

/// The most rows of one page.
pub(crate) const MAX_ROWS: usize = 500;
/// The rows of a page where nothing is said.
const DEFAULT_ROWS: usize = 100;
/// The longest wait that can be asked for.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// The decoded pairs of a query string, each name once.
pub(crate) struct Pairs(Vec<(String, String)>);

impl Pairs {
    /// Decodes; a repeated name is refused, because two readers could each take another of them.
    pub fn parse(raw: Option<&str>) -> Result<Self> {
        let pairs: Vec<(String, String)> = serde_urlencoded::from_str(raw.unwrap_or_default())
            .map_err(|_| Kind::InvalidQuery.because("The query string is not form-encoded: write it as `a=1&b=2`."))?;
        let mut names: Vec<&str> = pairs.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        match names.windows(2).find_map(|pair| match pair {
            [a, b] if a == b => Some(*a),
            _ => None,
        }) {
            Some(name) => Err(Kind::InvalidQuery
                .because(format!("The parameter `{}` is there twice; state it once.", name.escape_debug()))),
            None => Ok(Self(pairs)),
        }
    }

    /// Takes a parameter out and reads it.
    pub fn take<T: FromStr>(&mut self, name: &str, form: &str) -> Result<Option<T>> {
        let Some(at) = self.0.iter().position(|(n, _)| n == name) else { return Ok(None) };
        let (_, text) = self.0.remove(at);
        match text.parse() {
            Ok(value) => Ok(Some(value)),
            Err(_) => Err(Kind::InvalidQuery.because(format!("`{name}={}` is not {form}.", text.escape_debug()))),
        }
    }

    /// Refuses whatever was not taken.
    pub fn refuse_unknown(&self, known: &str) -> Result<()> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => Err(Kind::InvalidQuery
                .because(format!("`{}` is not a parameter of this route; it takes {known}.", name.escape_debug()))),
        }
    }

    /// Reads what is left as the route's own parameters; whatever it does not know is refused.
    fn rest<T: DeserializeOwned>(&self) -> Result<T> {
        let read = |pairs: &mut dyn Iterator<Item = &(String, String)>| -> Result<T, serde_urlencoded::de::Error> {
            serde_urlencoded::from_str(&serde_urlencoded::to_string(pairs.collect::<Vec<_>>()).unwrap_or_default())
        };
        let words = match read(&mut self.0.iter()) {
            Ok(value) => return Ok(value),
            Err(wrong) => query_words(&wrong.to_string()),
        };
        // The reader does not say which value it could not read: it is the one without which it can.
        let without = |at: usize| read(&mut self.0.iter().enumerate().filter(|(n, _)| *n != at).map(|(_, pair)| pair));
        let culprit = self.0.iter().enumerate().find(|(at, _)| without(*at).is_ok()).map(|(_, pair)| pair);
        let told = match culprit {
            Some((name, text)) if !words.starts_with("no parameter") => {
                format!("`{}={}` is not {words}", name.escape_debug(), text.escape_debug())
            }
            _ => words,
        };
        Err(Kind::InvalidQuery
            .because(format!("{told}. This route also takes `cursor`, `limit`, `min_position` and `wait`.")))
    }
}

/// What the reader of a query says, in our words.
fn query_words(message: &str) -> String {
    match message {
        "provided string was not `true` or `false`" => "true or false".to_owned(),
        _ if message.contains("invalid digit") || message.contains("integer") || message.contains("number too") => {
            "a whole number, such as 10".to_owned()
        }
        _ => json::plain_words(message).replace("no member", "no parameter").replace("the member", "the parameter"),
    }
}

/// What a route reads from the query, beside what all of them take.
pub(crate) trait FromQuery: Sized + Send {
    /// Reads it; `scope` is what a cursor is bound to.
    fn from_pairs(pairs: Pairs, scope: &CursorScope<'_>) -> Result<Self>;
}

/// A route with no parameters but those of every read.
pub(crate) struct NoQuery;

impl FromQuery for NoQuery {
    fn from_pairs(pairs: Pairs, _: &CursorScope<'_>) -> Result<Self> {
        pairs.refuse_unknown("`min_position` and `wait`").map(|()| Self)
    }
}

/// No parameters of its own.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoFilter {}

/// A route with parameters of its own and no pages.
pub(crate) struct Query<T>(pub T);

impl<T: DeserializeOwned + Send> FromQuery for Query<T> {
    fn from_pairs(pairs: Pairs, _: &CursorScope<'_>) -> Result<Self> {
        pairs.rest().map(Self)
    }
}

/// What a cursor belongs to: the log, the caller and the path. The filters are added.
pub(crate) struct CursorScope<'a> {
    /// Which log.
    pub log: LogId,
    /// The digest of who asks, so that nobody goes on with another's cursor.
    pub caller: &'a [u8; 32],
    /// The request's path.
    pub path: &'a str,
}

/// The parameters of a route that answers in pages.
pub(crate) struct Paged<T> {
    /// The route's own.
    pub filter: T,
    /// How many rows at most.
    limit: usize,
    /// The key of the last row of the page before.
    after: Option<String>,
    binding: Digest,
    link: String,
}

impl<T: DeserializeOwned + Send> FromQuery for Paged<T> {
    fn from_pairs(mut pairs: Pairs, scope: &CursorScope<'_>) -> Result<Self> {
        let limit = pairs.take("limit", "a number of rows, 1 to 500")?.unwrap_or(DEFAULT_ROWS);
        if limit == 0 || limit > MAX_ROWS {
            return Err(Kind::InvalidQuery.because(format!(
                "`limit={limit}` is not between 1 and {MAX_ROWS}; ask for {MAX_ROWS} and follow the `Link` header for more."
            )));
        }
        let cursor: Option<String> = pairs.take("cursor", "a cursor")?;
        let filter = pairs.rest()?;
        pairs.0.sort_unstable();
        let filters = serde_urlencoded::to_string(&pairs.0).unwrap_or_default();
        let mut bound = Vec::new();
        for part in [&scope.log.0[..], scope.caller, scope.path.as_bytes(), filters.as_bytes()] {
            bound.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bound.extend_from_slice(part);
        }
        let binding = Digest::of(&bound);
        let after = cursor.map(|cursor| read_cursor(&cursor, binding)).transpose()?;
        let amp = if filters.is_empty() { "" } else { "&" };
        let link = format!("{}?{filters}{amp}limit={limit}&cursor=", scope.path);
        Ok(Self { filter, limit, after, binding, link })
    }
}

impl<T> Paged<T> {
    /// The cursor that goes on after the row with this key.
    pub fn cursor(&self, key: &str) -> String {
        write_cursor(key, self.binding)
    }

    /// The `Link` header for that cursor.
    pub fn link(&self, cursor: &str) -> String {
        format!("<{}{cursor}>; rel=\"next\"", self.link)
    }

    /// Which page is asked for; the key of the last row before is read as the type of this route's keys.
    pub fn page<K: FromStr>(&self) -> Result<PageRequest<K>> {
        let after = self.after.as_deref().map(|key| key.parse().map_err(|_| stale_cursor())).transpose()?;
        Ok(PageRequest { after, limit: self.limit })
    }
}

fn checksum(key: &str, binding: Digest) -> [u8; 9] {
    let Digest(sum) = Digest::of(&[&binding.0[..], key.as_bytes()].concat());
    let [a, b, c, d, e, f, g, h, i, ..] = sum;
    [a, b, c, d, e, f, g, h, i]
}

fn write_cursor(key: &str, binding: Digest) -> String {
    URL_SAFE_NO_PAD.encode([&checksum(key, binding)[..], key.as_bytes()].concat())
}

fn read_cursor(cursor: &str, binding: Digest) -> Result<String> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| stale_cursor())?;
    let (sum, key) = bytes.split_at_checked(9).ok_or_else(stale_cursor)?;
    let key = std::str::from_utf8(key).map_err(|_| stale_cursor())?;
    if sum == checksum(key, binding) { Ok(key.to_owned()) } else { Err(stale_cursor()) }
}

fn stale_cursor() -> Problem {
    Kind::InvalidCursor.because(
        "A cursor continues the very query that gave it (same path, same filters, same key, same log). Leave `cursor` out to start again.",
    )
}

/// How fresh a read must be.
pub(crate) struct Freshness {
    /// The position that the answer must hold, and of which log.
    pub at_least: Option<(Option<LogId>, Position)>,
    /// How long to wait for it.
    pub wait: Option<Duration>,
}

impl Freshness {
    /// Takes `min_position` and `wait` out.
    pub fn take(pairs: &mut Pairs) -> Result<Self> {
        let min: Option<MinPosition> =
            pairs.take("min_position", "a position: a number, or the log's id, a colon and a number")?;
        let wait: Option<Wait> = pairs.take("wait", Wait::FORM)?;
        Ok(Self { at_least: min.map(|m| (m.log, m.position)), wait: wait.map(|w| w.0) })
    }
}

struct MinPosition {
    log: Option<LogId>,
    position: Position,
}

impl FromStr for MinPosition {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (log, position) = match text.split_once(':') {
            Some((log, position)) => (Some(parse_log_id(log).ok_or(())?), position),
            None => (None, text),
        };
        Ok(Self { log, position: Position(position.parse().map_err(|_| ())?) })
    }
}

/// A wait such as `2s` or `250ms`.
pub(crate) struct Wait(pub Duration);

impl Wait {
    /// What a wait looks like, for the refusal of one that is not.
    pub const FORM: &'static str = "a duration of at most 30 seconds such as `2s` or `250ms`";
}

impl FromStr for Wait {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let number = |text: &str| text.parse::<u64>().map_err(|_| ());
        let wait = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
            (Some(millis), _) => Duration::from_millis(number(millis)?),
            (None, Some(seconds)) => Duration::from_secs(number(seconds)?),
            (None, None) => return Err(()),
        };
        if wait <= MAX_WAIT { Ok(Self(wait)) } else { Err(()) }
    }
}

/// What every read takes.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the shape for OpenAPI; `Freshness::take` reads it")]
pub(crate) struct FreshnessParams {
    /// Answer with this position applied or with 503, never older. A number, or `logid:number`.
    min_position: Option<String>,
    /// How long to wait for it, at most 30 s: `2s`, `250ms` (the default).
    wait: Option<String>,
}

/// What every route takes that answers in pages.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the shape for OpenAPI; `Paged` reads it")]
pub(crate) struct PagingParams {
    /// Where to go on: from `next` or the `Link` header of the page before.
    cursor: Option<String>,
    /// How many rows, 1 to 500; 100 when absent.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u16>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Filter {
        #[serde(default)]
        source: Option<String>,
    }

    fn scope(path: &str) -> CursorScope<'_> {
        CursorScope { log: LogId([1; 8]), caller: &[7; 32], path }
    }

    fn paged(query: &str, path: &str) -> Result<Paged<Filter>> {
        Paged::from_pairs(Pairs::parse(Some(query))?, &scope(path))
    }

    #[test]
    fn a_cursor_continues_its_own_query_and_no_other() {
        let page = paged("source=a&limit=2", "/p").ok().unwrap();
        let cursor = page.cursor("42");
        assert_eq!(page.link(&cursor), format!("</p?source=a&limit=2&cursor={cursor}>; rel=\"next\""));
        let next = paged(&format!("limit=3&cursor={cursor}&source=a"), "/p").ok().unwrap();
        assert_eq!((next.page::<u64>().ok().unwrap().after, next.filter.source.as_deref()), (Some(42), Some("a")));
        for (query, path) in [("source=b", "/p"), ("", "/p"), ("source=a", "/q")] {
            let refused = paged(&format!("{query}&cursor={cursor}"), path).err().unwrap();
            assert_eq!(refused.kind(), Kind::InvalidCursor, "{query} {path}");
        }
        let other_caller = CursorScope { caller: &[8; 32], ..scope("/p") };
        let pairs = Pairs::parse(Some(&format!("source=a&cursor={cursor}"))).ok().unwrap();
        assert!(Paged::<Filter>::from_pairs(pairs, &other_caller).is_err());
        for broken in ["", "x", "AAAA", "%00"] {
            assert!(paged(&format!("cursor={broken}"), "/p").is_err(), "{broken}");
        }
    }

    #[test]
    fn unknown_repeated_and_oversized_parameters_are_refused() {
        for query in ["sorce=a", "source=a&source=a", "limit=0", "limit=501", "limit=1000000000", "limit=-1", "limit="]
        {
            assert_eq!(paged(query, "/p").err().map(|p| p.kind()), Some(Kind::InvalidQuery), "{query}");
        }
        assert_eq!(paged("limit=500", "/p").ok().unwrap().limit, 500);
    }

    #[test]
    fn freshness_is_a_position_and_a_wait() {
        let fresh = |query: &str| Freshness::take(&mut Pairs::parse(Some(query))?);
        let good = fresh("min_position=0101010101010101:7&wait=2s").ok().unwrap();
        assert_eq!(good.at_least, Some((Some(LogId([1; 8])), Position(7))));
        assert_eq!(good.wait, Some(Duration::from_secs(2)));
        for bad in ["min_position=x", "min_position=-1", "min_position=zz:1", "wait=2", "wait=31s", "wait=1h", "wait="]
        {
            assert!(fresh(bad).is_err(), "{bad}");
        }
    }
}

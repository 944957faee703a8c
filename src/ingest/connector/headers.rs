//! The headers of a delivery that are kept: those that its hook names, and no others.
//! Verification, mapping and replay see exactly these, so a replay sees what the first time saw.

use serde::{Deserialize, Serialize};

/// Header names (lower case) and values, in the order of arrival.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Headers(Vec<(String, String)>);

/// A header that may occur once occurred more than once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RepeatedHeader;

impl Headers {
    /// The headers of a call that `keep` wants. Bytes that are not UTF-8 become U+FFFD: no scheme signs them.
    #[must_use]
    pub fn kept(all: &http::HeaderMap, keep: impl Fn(&str) -> bool) -> Self {
        let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let wanted = all.iter().filter(|(name, _)| keep(name.as_str()));
        Self(wanted.map(|(name, value)| (name.as_str().to_owned(), text(value))).collect())
    }

    /// The value of a header that may occur once; `name` in lower case.
    ///
    /// # Errors
    /// When it occurs more than once: which one counts would be a guess.
    pub fn one(&self, name: &str) -> Result<Option<&str>, RepeatedHeader> {
        let mut values = self.iter().filter(|(known, _)| *known == name).map(|(_, value)| value);
        match (values.next(), values.next()) {
            (_, Some(_)) => Err(RepeatedHeader),
            (value, None) => Ok(value),
        }
    }

    /// Name and value of each, in the order of arrival.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(headers: I) -> Self {
        Self(headers.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

//! What registry clients name: the list of all repositories, a repository, and within it a tag or a digest. Names are
//! made by parsing, so that they can be looked up and echoed; whether anything has such a name is not known here.

use std::borrow::Cow;

/// The longest repository name that the distribution specification allows.
pub(crate) const MAX_NAME_BYTES: usize = 255;
/// The longest tag that it allows.
const MAX_TAG_BYTES: usize = 128;
/// The lengths in hex of the digests that it registers.
const DIGESTS: [(&str, usize); 2] = [("sha256", 64), ("sha512", 128)];

/// What a verb is done on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource<'a> {
    /// The list of all repositories.
    Catalog,
    /// A repository, or one thing in it.
    Repository {
        /// Which.
        name: &'a RepositoryName<'a>,
        /// The tag or digest, where one is named: a token's scope names none.
        reference: Option<&'a Reference<'a>>,
    },
}

impl<'a> Resource<'a> {
    /// A whole repository.
    #[must_use]
    pub fn repository(name: &'a RepositoryName<'a>) -> Self {
        Self::Repository { name, reference: None }
    }
}

/// A repository name that keeps the distribution grammar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryName<'a>(Cow<'a, str>);

impl<'a> RepositoryName<'a> {
    /// Checks a name: lower-case path components `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*` joined by `/`, at most 255 bytes.
    /// `..`, `//`, `%2f` and upper case do not get past this.
    #[must_use]
    pub fn parse(text: Cow<'a, str>) -> Option<Self> {
        (text.len() <= MAX_NAME_BYTES && text.split('/').all(is_component)).then_some(Self(text))
    }

    /// The whole name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first path segment: the project's name (DESIGN 2).
    #[must_use]
    pub fn project(&self) -> &str {
        self.0.split('/').next().unwrap_or_default()
    }
}

fn is_component(text: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    let ends_well = |end: Option<&u8>| end.is_some_and(|b| alphanumeric(*b));
    ends_well(bytes.first())
        && ends_well(bytes.last())
        && bytes.iter().all(|b| alphanumeric(*b) || b"._-".contains(b))
        && bytes
            .split(|b| alphanumeric(*b))
            .all(|separator| matches!(separator, b"" | b"." | b"_" | b"__") || separator.iter().all(|b| *b == b'-'))
}

/// One thing in a repository, by the name that moves or by its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference<'a> {
    /// By a tag.
    Tag(Tag<'a>),
    /// By a digest.
    Digest(ContentDigest<'a>),
}

/// A tag that keeps the distribution grammar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag<'a>(Cow<'a, str>);

/// The digest of a manifest or blob, as in `sha256:0123..`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentDigest<'a>(Cow<'a, str>);

impl<'a> Reference<'a> {
    /// Reads a tag, `[a-zA-Z0-9_][a-zA-Z0-9._-]*` of at most 128 bytes, or a digest. The two cannot be confused: only a
    /// digest has a colon.
    #[must_use]
    pub fn parse(text: Cow<'a, str>) -> Option<Self> {
        if text.contains(':') {
            is_digest(&text).then_some(Self::Digest(ContentDigest(text)))
        } else {
            is_tag(&text).then_some(Self::Tag(Tag(text)))
        }
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Tag(Tag(text)) | Self::Digest(ContentDigest(text)) => text,
        }
    }
}

fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    text.len() <= MAX_TAG_BYTES
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

fn is_digest(text: &str) -> bool {
    let Some((algorithm, hex)) = text.split_once(':') else { return false };
    let length = DIGESTS.iter().find(|(name, _)| *name == algorithm).map(|(_, length)| *length);
    length == Some(hex.len()) && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_before_anything_is_looked_up() {
        let long = format!("a/{}", "b".repeat(254));
        for bad in [
            "", "a/../b", "..", "a//b", "/a", "a/", "A/b", "a%2fb", "a%2Fb", "a/b c", "a/é", "a/.b", "a/b_", "a/b___c",
            "a/b..c", "a/b._c", "a\0b", &long,
        ] {
            assert!(RepositoryName::parse(bad.into()).is_none(), "{bad}");
        }
        let edge = format!("a/{}", "b".repeat(253));
        for good in ["a", "a/b/c", "acme/db.v2", "a/b__c", "a/b---c", "0/1", &edge] {
            assert!(RepositoryName::parse(good.into()).is_some(), "{good}");
        }
        assert_eq!(RepositoryName::parse("acme/db/x".into()).unwrap().project(), "acme");
    }

    #[test]
    fn a_reference_is_a_tag_or_a_digest_and_never_both() {
        let (sha256, sha512) = (format!("sha256:{}", "0a".repeat(32)), format!("sha512:{}", "f".repeat(128)));
        let edge = "v".repeat(128);
        for tag in ["latest", "1", "_x", "v1.2.3-rc.1", "A_b", &edge] {
            let Some(Reference::Tag(read)) = Reference::parse(tag.into()) else { panic!("{tag}") };
            assert_eq!(read.0, tag);
        }
        for digest in [&sha256, &sha512] {
            let read = Reference::parse(digest.as_str().into());
            assert!(matches!(read, Some(Reference::Digest(_))), "{digest}");
            assert_eq!(read.unwrap().as_str(), digest);
        }
        let long = "v".repeat(129);
        for bad in [
            "",
            ".x",
            "-x",
            "a b",
            "a/b",
            "é",
            &long,
            "a:b",
            "sha256:",
            "sha256:0A",
            &sha256.to_uppercase(),
            &sha256[..70],
            &format!("md5:{}", "0".repeat(32)),
            &format!("{sha256}0"),
        ] {
            assert_eq!(Reference::parse(bad.into()), None, "{bad}");
        }
    }
}

//! Search filters as typed parts, so that a value can never become syntax. An operator's filter is read by RFC 4515 into
//! the same type; a name typed by somebody who logs in only ever becomes a value in one.

use super::ber::{OCTETS, Writer};

/// What an entry must be to be found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// All of these.
    And(Vec<Filter>),
    /// Any of these.
    Or(Vec<Filter>),
    /// Not this.
    Not(Box<Filter>),
    /// The attribute has this value.
    Equal(String, Vec<u8>),
    /// The attribute is there.
    Present(String),
    /// The attribute's value starts with, has in it, and ends with these.
    Substrings(String, Option<Vec<u8>>, Vec<Vec<u8>>, Option<Vec<u8>>),
    /// The value is this or comes after it.
    AtLeast(String, Vec<u8>),
    /// The value is this or comes before it.
    AtMost(String, Vec<u8>),
    /// The value is about this.
    Approximately(String, Vec<u8>),
    /// A matching rule of its own: attribute, rule, whether the name counts too, value.
    Extended(Option<String>, Option<String>, bool, Vec<u8>),
}

/// Why a text is no filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a search filter (RFC 4515): {what}", text = .text.escape_debug())]
pub struct InvalidFilter {
    text: String,
    what: &'static str,
}

/// Deeper filters are refused: nobody writes them, and reading and writing them is recursive.
const MAX_DEPTH: usize = 32;

impl Filter {
    /// Any of these; the one itself where it is one.
    pub fn any(mut of: Vec<Filter>) -> Filter {
        match (of.pop(), of.is_empty()) {
            (Some(only), true) => only,
            (last, _) => {
                of.extend(last);
                Filter::Or(of)
            }
        }
    }

    /// The attributes that it looks at.
    pub fn names(&self, into: &mut Vec<String>) {
        match self {
            Self::And(parts) | Self::Or(parts) => parts.iter().for_each(|part| part.names(into)),
            Self::Not(part) => part.names(into),
            Self::Equal(name, _)
            | Self::Present(name)
            | Self::Substrings(name, ..)
            | Self::AtLeast(name, _)
            | Self::AtMost(name, _)
            | Self::Approximately(name, _) => into.push(name.clone()),
            Self::Extended(name, ..) => into.extend(name.clone()),
        }
    }

    /// Appends it as BER.
    pub fn write(&self, out: &mut Writer) {
        let pair = |out: &mut Writer, tag: u8, name: &str, value: &[u8]| {
            out.nested(tag, |w| _ = w.octets(OCTETS, name.as_bytes()).octets(OCTETS, value));
        };
        match self {
            Self::And(parts) => _ = out.nested(0xa0, |w| parts.iter().for_each(|part| part.write(w))),
            Self::Or(parts) => _ = out.nested(0xa1, |w| parts.iter().for_each(|part| part.write(w))),
            Self::Not(part) => _ = out.nested(0xa2, |w| part.write(w)),
            Self::Equal(name, value) => pair(out, 0xa3, name, value),
            Self::Substrings(name, first, inner, last) => {
                out.nested(0xa4, |w| {
                    w.octets(OCTETS, name.as_bytes()).nested(crate::wire::ber::SEQUENCE, |w| {
                        first.iter().for_each(|part| _ = w.octets(0x80, part));
                        inner.iter().for_each(|part| _ = w.octets(0x81, part));
                        last.iter().for_each(|part| _ = w.octets(0x82, part));
                    });
                });
            }
            Self::AtLeast(name, value) => pair(out, 0xa5, name, value),
            Self::AtMost(name, value) => pair(out, 0xa6, name, value),
            Self::Present(name) => _ = out.octets(0x87, name.as_bytes()),
            Self::Approximately(name, value) => pair(out, 0xa8, name, value),
            Self::Extended(name, rule, in_dn, value) => {
                out.nested(0xa9, |w| {
                    rule.iter().for_each(|rule| _ = w.octets(0x81, rule.as_bytes()));
                    name.iter().for_each(|name| _ = w.octets(0x82, name.as_bytes()));
                    w.octets(0x83, value);
                    if *in_dn {
                        w.octets(0x84, &[0xff]);
                    }
                });
            }
        }
    }
}

impl std::str::FromStr for Filter {
    type Err = InvalidFilter;

    fn from_str(text: &str) -> Result<Self, InvalidFilter> {
        let fail = |what| InvalidFilter { text: text.chars().take(200).collect(), what };
        match filter(text.trim(), 0).map_err(fail)? {
            (filter, "") => Ok(filter),
            _ => Err(fail("something follows it")),
        }
    }
}

fn filter(text: &str, depth: usize) -> Result<(Filter, &str), &'static str> {
    if depth > MAX_DEPTH {
        return Err("nested too deeply");
    }
    let text = text.strip_prefix('(').ok_or("it does not start with `(`")?;
    let (found, rest) = match text.chars().next() {
        Some(sign @ ('&' | '|')) => {
            let mut rest = text.get(1..).unwrap_or_default();
            let mut parts = Vec::new();
            while rest.starts_with('(') {
                let (part, after) = filter(rest, depth + 1)?;
                parts.push(part);
                rest = after;
            }
            (if sign == '&' { Filter::And(parts) } else { Filter::Or(parts) }, rest)
        }
        Some('!') => {
            let (part, rest) = filter(text.get(1..).unwrap_or_default(), depth + 1)?;
            (Filter::Not(Box::new(part)), rest)
        }
        _ => {
            let end = text.find(')').ok_or("a `)` is missing")?;
            let (item, rest) = text.split_at(end);
            (comparison(item)?, rest)
        }
    };
    Ok((found, rest.strip_prefix(')').ok_or("a `)` is missing")?))
}

fn comparison(text: &str) -> Result<Filter, &'static str> {
    let (left, value) = text.split_once('=').ok_or("a comparison without `=`")?;
    if let Some(left) = left.strip_suffix(':') {
        let mut parts = left.split(':');
        let name = parts.next().filter(|name| !name.is_empty());
        let (mut rule, mut in_dn) = (None, false);
        for part in parts {
            if part.eq_ignore_ascii_case("dn") && rule.is_none() {
                in_dn = true;
            } else if rule.is_none() {
                rule = Some(attribute(part)?);
            } else {
                return Err("more than one matching rule");
            }
        }
        return Ok(Filter::Extended(name.map(attribute).transpose()?, rule, in_dn, unescape(value)?));
    }
    for (sign, make) in
        [('>', Filter::AtLeast as fn(String, Vec<u8>) -> Filter), ('<', Filter::AtMost), ('~', Filter::Approximately)]
    {
        if let Some(left) = left.strip_suffix(sign) {
            return Ok(make(attribute(left)?, unescape(value)?));
        }
    }
    let name = attribute(left)?;
    if value == "*" {
        return Ok(Filter::Present(name));
    }
    let mut parts: Vec<&str> = value.split('*').collect();
    let (Some(last), false) = (parts.pop(), parts.is_empty()) else {
        return Ok(Filter::Equal(name, unescape(value)?));
    };
    let some = |part: &str| if part.is_empty() { Ok(None) } else { unescape(part).map(Some) };
    let first = parts.first().copied().unwrap_or_default();
    let inner: Vec<_> = parts.iter().skip(1).map(|part| some(part)).collect::<Result<_, _>>()?;
    Ok(Filter::Substrings(name, some(first)?, inner.into_iter().flatten().collect(), some(last)?))
}

/// An attribute description or a rule's identifier.
pub(crate) fn attribute(text: &str) -> Result<String, &'static str> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-.;_".contains(c);
    if text.is_empty() || !text.chars().all(fits) {
        return Err("an attribute name that is none");
    }
    Ok(text.to_owned())
}

fn unescape(text: &str) -> Result<Vec<u8>, &'static str> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        match byte {
            b'\\' => {
                let (Some(high), Some(low)) = (digit(rest.next()), digit(rest.next())) else {
                    return Err("`\\` is followed by two hexadecimal digits");
                };
                bytes.push(u8::try_from(high << 4 | low).unwrap_or_default());
            }
            b'(' | b'*' | 0 => return Err("`(`, `)`, `*` and NUL are written as \\28, \\29, \\2a and \\00"),
            byte => bytes.push(byte),
        }
    }
    Ok(bytes)
}

/// A filter that everything matches.
pub fn everything() -> Filter {
    Filter::Present("objectClass".to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes(filter: &Filter) -> Vec<u8> {
        let mut writer = Writer::default();
        filter.write(&mut writer);
        writer.bytes
    }

    #[test]
    fn an_operators_filter_is_read() {
        let read: Filter =
            "(&(objectClass=person)(|(uid=a*b*c)(!(mail=*)))(n>=3)(x:1.2.840.113556.1.4.803:=2))".parse().unwrap();
        let Filter::And(parts) = &read else { panic!("{read:?}") };
        assert_eq!(parts.len(), 4);
        assert_eq!(
            parts[1],
            Filter::Or(vec![
                Filter::Substrings("uid".into(), Some(b"a".into()), vec![b"b".into()], Some(b"c".into())),
                Filter::Not(Box::new(Filter::Present("mail".into()))),
            ])
        );
        assert_eq!(
            parts[3],
            Filter::Extended(Some("x".into()), Some("1.2.840.113556.1.4.803".into()), false, b"2".into())
        );
        assert_eq!("(cn=a\\28b\\2a)".parse(), Ok(Filter::Equal("cn".into(), b"a(b*".into())));
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        let deep = "(!".repeat(50) + "(a=b)" + &")".repeat(50);
        for text in
            ["", "a=b", "(a=b", "(a=b))", "(a)", "(=b)", "(a b=c)", "(a=\\2)", "(a=(b)", "(&(a=b)", "(&a=b)", &deep]
        {
            assert!(text.parse::<Filter>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_value_never_becomes_syntax() {
        let name = "*)(uid=*))(|(uid=*";
        let filter = Filter::Equal("uid".into(), name.as_bytes().to_vec());
        let mut expected = vec![0xa3, 25, 4, 3];
        expected.extend(b"uid");
        expected.extend([4, 18]);
        expected.extend(name.as_bytes());
        expected[1] = u8::try_from(expected.len() - 2).unwrap();
        assert_eq!(bytes(&filter), expected);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[()&|!=*a\\\\0-9:<>~]{0,24}") {
            if let Ok(filter) = text.parse::<Filter>() {
                prop_assert!(!bytes(&filter).is_empty());
            }
        }
    }
}

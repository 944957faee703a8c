//! The few shapes of BER that LDAP uses, read without recursion and written into one buffer. Knows tags and lengths, not
//! what they mean. A reader looks at one level at a time, so nesting costs nothing, and it never copies.

/// Bytes that are not what LDAP says they are. Ends the connection they came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a malformed reply: {0}")]
pub struct Malformed(pub &'static str);

pub const BOOLEAN: u8 = 0x01;
pub const INTEGER: u8 = 0x02;
pub const OCTETS: u8 = 0x04;
pub const ENUMERATED: u8 = 0x0a;
pub const SEQUENCE: u8 = 0x30;
pub const SET: u8 = 0x31;

/// The first tag and length of some bytes: the tag, how many bytes the header takes, how many the content.
/// `None` while the header is not complete.
pub fn header(bytes: &[u8]) -> Result<Option<(u8, usize, usize)>, Malformed> {
    let (Some(&tag), Some(&first)) = (bytes.first(), bytes.get(1)) else { return Ok(None) };
    if tag & 0x1f == 0x1f {
        return Err(Malformed("a tag of several bytes"));
    }
    if first < 0x80 {
        return Ok(Some((tag, 2, usize::from(first))));
    }
    let count = usize::from(first & 0x7f);
    if !(1..=8).contains(&count) {
        return Err(Malformed("a length that LDAP does not allow"));
    }
    let Some(length) = bytes.get(2..2 + count) else { return Ok(None) };
    let length = length.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    let length = usize::try_from(length).map_err(|_| Malformed("a length beyond all memory"))?;
    Ok(Some((tag, 2 + count, length)))
}

/// Elements that stand one after the other.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next element's tag and content; `None` at the end.
    pub fn any(&mut self) -> Result<Option<(u8, &'a [u8])>, Malformed> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (tag, head, length) = header(self.rest)?.ok_or(Malformed("it ends inside an element"))?;
        let end = head.checked_add(length).ok_or(Malformed("a length beyond all memory"))?;
        let content = self.rest.get(head..end).ok_or(Malformed("an element is longer than what holds it"))?;
        self.rest = self.rest.get(end..).unwrap_or_default();
        Ok(Some((tag, content)))
    }

    /// The next element, which has this tag.
    pub fn expect(&mut self, tag: u8, what: &'static str) -> Result<&'a [u8], Malformed> {
        match self.any()? {
            Some((found, content)) if found == tag => Ok(content),
            _ => Err(Malformed(what)),
        }
    }

    /// The next element if it has this tag, else nothing is taken.
    pub fn optional(&mut self, tag: u8) -> Result<Option<&'a [u8]>, Malformed> {
        if self.rest.first() == Some(&tag) { Ok(self.any()?.map(|(_, content)| content)) } else { Ok(None) }
    }

    pub fn integer(&mut self, tag: u8, what: &'static str) -> Result<i64, Malformed> {
        integer(self.expect(tag, what)?)
    }

    pub fn text(&mut self, tag: u8, what: &'static str) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.expect(tag, what)?).map_err(|_| Malformed(what))
    }
}

pub fn integer(content: &[u8]) -> Result<i64, Malformed> {
    let Some(first) = content.first().filter(|_| content.len() <= 8) else {
        return Err(Malformed("a number that is none"));
    };
    let start = if first & 0x80 == 0 { 0 } else { -1 };
    Ok(content.iter().fold(start, |sum: i64, byte| sum << 8 | i64::from(*byte)))
}

pub fn boolean(content: &[u8]) -> Result<bool, Malformed> {
    match content {
        [byte] => Ok(*byte != 0),
        _ => Err(Malformed("a truth value that is none")),
    }
}

/// Elements on their way out.
#[derive(Debug, Default, Clone)]
pub struct Writer {
    pub bytes: Vec<u8>,
}

impl Writer {
    pub fn octets(&mut self, tag: u8, content: &[u8]) -> &mut Self {
        self.bytes.push(tag);
        match u8::try_from(content.len()) {
            Ok(short) if short < 0x80 => self.bytes.push(short),
            _ => {
                let length = content.len().to_be_bytes();
                let skip = length.iter().take_while(|byte| **byte == 0).count();
                let length = length.get(skip..).unwrap_or_default();
                self.bytes.push(0x80 | u8::try_from(length.len()).unwrap_or_default());
                self.bytes.extend_from_slice(length);
            }
        }
        self.bytes.extend_from_slice(content);
        self
    }

    pub fn integer(&mut self, tag: u8, value: i64) -> &mut Self {
        let bytes = value.to_be_bytes();
        // The shortest form that keeps the sign.
        let extra = bytes.windows(2).take_while(|pair| match pair {
            [0, next] => next & 0x80 == 0,
            [0xff, next] => next & 0x80 != 0,
            _ => false,
        });
        let skip = extra.count();
        self.octets(tag, bytes.get(skip..).unwrap_or_default())
    }

    pub fn boolean(&mut self, tag: u8, value: bool) -> &mut Self {
        self.octets(tag, &[if value { 0xff } else { 0 }])
    }

    /// An element that holds others.
    pub fn nested(&mut self, tag: u8, fill: impl FnOnce(&mut Self)) -> &mut Self {
        let mut inner = Self::default();
        fill(&mut inner);
        self.octets(tag, &inner.bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_come_back_as_they_went() {
        for value in [0, 1, 127, 128, 255, 256, -1, -128, -129, -2_147_483_648, 1_000_000, i64::MIN, i64::MAX] {
            let mut writer = Writer::default();
            writer.integer(INTEGER, value);
            assert_eq!(Reader::new(&writer.bytes).integer(INTEGER, ""), Ok(value), "{:x?}", writer.bytes);
        }
        let mut writer = Writer::default();
        assert_eq!(writer.integer(INTEGER, 128).bytes, [2, 2, 0, 128]);
        assert_eq!(Writer::default().integer(ENUMERATED, 3).bytes, [10, 1, 3]);
    }

    #[test]
    fn long_contents_have_long_lengths() {
        let mut writer = Writer::default();
        writer.nested(SEQUENCE, |w| _ = w.octets(OCTETS, &[7; 300]));
        assert_eq!(writer.bytes.get(..8).unwrap(), [0x30, 0x82, 0x01, 0x30, 4, 0x82, 0x01, 0x2c]);
        let mut inner = Reader::new(Reader::new(&writer.bytes).expect(SEQUENCE, "").unwrap());
        assert_eq!(inner.expect(OCTETS, "").unwrap().len(), 300);
        assert_eq!(inner.any(), Ok(None));
    }

    #[test]
    fn a_million_nested_elements_cost_no_stack() {
        let mut bytes = Vec::new();
        for level in (0..1_000_000_u32).rev() {
            bytes.extend([0x30, 0x84]);
            bytes.extend((level * 6).to_be_bytes());
        }
        let mut reader = Reader::new(&bytes);
        assert!(reader.any().is_ok());
        assert_eq!(reader.any(), Ok(None));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut reader = Reader::new(&bytes);
            while let Ok(Some(_)) = reader.any() {}
        }
    }
}

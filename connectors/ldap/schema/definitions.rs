//! What a server's schema says (RFC 4512 section 4): which attributes there are, and whose entries may have them. Pure; what
//! is not understood defines nothing.

use std::collections::BTreeSet;

use crate::wire::{filter::Filter, message::Entry};

/// Where the definitions stand, all of which are asked for at once.
pub const ATTRIBUTES: [&str; 3] = ["attributeTypes", "objectClasses", "dITContentRules"];

/// Who may have an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holders {
    /// Nobody: there is no such attribute.
    Nobody,
    /// Whoever is of one of these classes.
    Classes(Vec<String>),
    /// Everybody: the server keeps it itself.
    Everybody,
}

/// What a schema defines.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Definitions {
    attributes: Vec<Definition>,
    classes: Vec<Definition>,
    /// What a rule adds to a class, by the number of the class.
    content_rules: Vec<Definition>,
}

impl Definitions {
    /// What a subschema entry says; `None` where it shows no attributes.
    pub fn of(entry: &Entry) -> Option<Self> {
        let [attributes, classes, content_rules] =
            ATTRIBUTES.map(|name| entry.texts(name).filter_map(Definition::parse).collect::<Vec<_>>());
        (!attributes.is_empty()).then_some(Self { attributes, classes, content_rules })
    }

    /// Who may have an attribute, as long as the server holds to its schema.
    pub fn holders(&self, attribute: &str) -> Holders {
        let Some(attribute) = self.attributes.iter().find(|known| known.is_called(attribute)) else {
            return Holders::Nobody;
        };
        if attribute.is_operational {
            return Holders::Everybody;
        }
        let takes = |class: &&Definition| class.takes.iter().any(|name| attribute.is_called(name));
        let ruled = self.content_rules.iter().filter(takes).flat_map(|rule| rule.names.first());
        let ruled = ruled.flat_map(|number| self.classes.iter().filter(|class| class.is_called(number)));
        // Takes whatever there is.
        let any = self.classes.iter().filter(|class| class.is_called("extensibleObject"));
        let mut found: Vec<&Definition> = self.classes.iter().filter(takes).chain(ruled).chain(any).collect();
        let mut names = BTreeSet::new();
        while let Some(class) = found.pop() {
            if names.insert(class.name()) {
                found.extend(self.classes.iter().filter(|below| below.above.iter().any(|name| class.is_called(name))));
            }
        }
        Holders::Classes(names.into_iter().map(str::to_owned).collect())
    }
}

impl Holders {
    /// What whoever may have it is found by; nobody by `None`.
    pub fn filter(&self) -> Option<Filter> {
        match self {
            Self::Nobody => None,
            Self::Everybody => Some(crate::wire::filter::everything()),
            Self::Classes(classes) if classes.is_empty() => None,
            Self::Classes(classes) => {
                let of = |class: &String| Filter::Equal("objectClass".to_owned(), class.clone().into_bytes());
                Some(Filter::any(classes.iter().map(of).collect()))
            }
        }
    }
}

/// One of them.
#[derive(Debug, Default, PartialEq, Eq)]
struct Definition {
    /// Its number, and then what else it is called.
    names: Vec<String>,
    /// Which classes it adds to.
    above: Vec<String>,
    /// The attributes that entries of it must or may have.
    takes: Vec<String>,
    is_operational: bool,
}

impl Definition {
    fn name(&self) -> &str {
        self.names.get(1).or(self.names.first()).map_or("", String::as_str)
    }

    fn is_called(&self, name: &str) -> bool {
        self.names.iter().any(|known| known.eq_ignore_ascii_case(name))
    }

    /// `( 1.3.6.1.1.1.2.1 NAME 'shadowAccount' SUP top AUXILIARY MUST uid MAY ( shadowMin $ shadowMax ) )`
    fn parse(text: &str) -> Option<Self> {
        let mut tokens = Tokens(text.trim().strip_prefix('(')?);
        let Token::Word(number) = tokens.next()? else { return None };
        let mut found = Self { names: vec![number.to_owned()], ..Self::default() };
        let mut tokens = tokens.peekable();
        while let Some(token) = tokens.next() {
            let Token::Word(key) = token else { continue };
            match key.to_ascii_uppercase().as_str() {
                "NAME" => found.names.extend(values(&mut tokens)),
                "SUP" => found.above.extend(values(&mut tokens)),
                "MUST" | "MAY" => found.takes.extend(values(&mut tokens)),
                "USAGE" => {
                    let usage = values(&mut tokens).pop().unwrap_or_default();
                    found.is_operational = !usage.eq_ignore_ascii_case("userApplications");
                }
                _ => {}
            }
        }
        Some(found)
    }
}

/// What stands after a key: one, or several in brackets.
fn values<'a>(tokens: &mut std::iter::Peekable<Tokens<'a>>) -> Vec<String> {
    let mut list = Vec::new();
    if tokens.next_if_eq(&Token::Open).is_none() {
        if let Some(Token::Word(one) | Token::Quoted(one)) = tokens.next() {
            list.push(one.to_owned());
        }
        return list;
    }
    for token in tokens.by_ref().take_while(|token| *token != Token::Close) {
        if let Token::Word(one) | Token::Quoted(one) = token {
            list.push(one.to_owned());
        }
    }
    list
}

#[derive(Debug, PartialEq, Eq)]
enum Token<'a> {
    Open,
    Close,
    Word(&'a str),
    /// With its escapes; no name has one.
    Quoted(&'a str),
}

struct Tokens<'a>(&'a str);

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let text = self.0.trim_start_matches(|c: char| c.is_whitespace() || c == '$');
        let mut letters = text.chars();
        let (token, rest) = match letters.next()? {
            '(' => (Token::Open, letters.as_str()),
            ')' => (Token::Close, letters.as_str()),
            '\'' => {
                let (quoted, rest) = letters.as_str().split_once('\'')?;
                (Token::Quoted(quoted), rest)
            }
            _ => {
                let end = text.find(|c: char| c.is_whitespace() || "()$'".contains(c)).unwrap_or(text.len());
                let (word, rest) = text.split_at_checked(end)?;
                (Token::Word(word), rest)
            }
        };
        self.0 = rest;
        Some(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As OpenLDAP, 389 Directory Server and others write them.
    fn schema() -> Definitions {
        let values = |list: &[&str]| list.iter().map(|value| value.as_bytes().to_vec()).collect();
        let entry = Entry {
            dn: "cn=Subschema".to_owned(),
            attributes: vec![
                (
                    "attributetypes".to_owned(),
                    values(&[
                        "( 1.3.6.1.1.1.1.10 NAME 'shadowExpire' EQUALITY integerMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 SINGLE-VALUE )",
                        "( 1.3.6.1.4.1.42.2.27.8.1.17 NAME ( 'pwdAccountLockedTime' 'locked' ) DESC 'The time (a user\\27s) account was locked' SINGLE-VALUE NO-USER-MODIFICATION USAGE directoryOperation )",
                        "(1.2.3 NAME 'krbPrincipalExpiration' X-ORIGIN ( 'user' 'us' ))",
                        "( 1.2.4 NAME 'loose' USAGE userApplications )",
                        "( 1.2.5 NAME 'ruled' )",
                        "nonsense",
                        "( 1.2.6 NAME 'cut",
                    ]),
                ),
                (
                    "objectclasses".to_owned(),
                    values(&[
                        "( 2.5.6.0 NAME 'top' ABSTRACT MUST objectClass )",
                        "( 2.5.6.6 NAME 'person' SUP top STRUCTURAL MUST ( sn $ cn ) MAY userPassword )",
                        "( 2.16.840.1.113730.3.2.2 NAME 'inetOrgPerson' SUP ( person ) STRUCTURAL )",
                        "( 1.3.6.1.1.1.2.1 NAME 'shadowAccount' SUP top AUXILIARY MUST uid MAY ( userPassword $ SHADOWEXPIRE $ shadowFlag ) )",
                        "( 9.1 NAME ( 'ownAccount' 'own' ) SUP shadowAccount )",
                        "( 9.2 NAME 'deeper' SUP own MAY 1.2.3 )",
                    ]),
                ),
                ("ditcontentrules".to_owned(), values(&["( 2.5.6.6 NAME 'rule' MAY ( ruled ) )"])),
            ],
        };
        Definitions::of(&entry).unwrap()
    }

    #[test]
    fn who_may_have_an_attribute_is_read_from_the_schema() {
        let classes = |list: &[&str]| Holders::Classes(list.iter().map(|name| (*name).to_owned()).collect());
        for (attribute, holders) in [
            ("shadowexpire", classes(&["deeper", "ownAccount", "shadowAccount"])),
            ("pwdAccountLockedTime", Holders::Everybody),
            ("locked", Holders::Everybody),
            ("krbPrincipalExpiration", classes(&["deeper"])),
            ("loose", classes(&[])),
            ("ruled", classes(&["inetOrgPerson", "person"])),
            ("loginDisabled", Holders::Nobody),
            ("cut", Holders::Nobody),
        ] {
            assert_eq!(schema().holders(attribute), holders, "{attribute}");
        }
    }

    #[test]
    fn an_entry_that_shows_no_attributes_defines_nothing() {
        let entry = Entry { dn: "cn=Subschema".to_owned(), attributes: Vec::new() };
        assert_eq!(Definitions::of(&entry), None);
    }

    #[test]
    fn no_definition_makes_it_fail() {
        for text in ["", "(", "()", "( )", "( 1 NAME", "( 1 NAME (", "( 1 MAY ( a $ ) )", "( 1 SUP $ )", "( 1 '"] {
            let _ = Definition::parse(text);
        }
    }
}

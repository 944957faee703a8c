//! A document that an operator wrote in TOML, as the API takes it. Knows where in the file something stands; knows nothing of
//! what it means.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rollcall_access::profile::{line_and_column, place_of};
use serde_json::Value;

use crate::values::read_text;

/// A document and the file that it stands in.
pub struct Document {
    file: PathBuf,
    text: String,
    /// As the API takes it.
    pub value: Value,
}

impl Document {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read, or, with its place, where it is not TOML.
    pub fn read(file: &Path) -> anyhow::Result<Self> {
        let text = read_text(file).with_context(|| format!("{} cannot be read", file.display()))?;
        Self::parse(file, text)
    }

    /// The text of a file.
    fn parse(file: &Path, text: String) -> anyhow::Result<Self> {
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            let (line, column) = line_and_column(&text, error.span().map_or(0, |span| span.start));
            anyhow::anyhow!("{}:{line}:{column}: this is not TOML: {}", file.display(), error.message())
        })?;
        Ok(Self { file: file.to_owned(), value: to_json(toml::Value::Table(table)), text })
    }

    /// `file:line:column` of what a JSON pointer names, or of the innermost part of it that is there; the file of what is
    /// not in it at all.
    pub fn place(&self, pointer: &str) -> String {
        let steps = pointer.split('/').skip(1).map(|step| step.replace("~1", "/").replace("~0", "~"));
        let file = self.file.display();
        match place_of(&self.text, &steps.collect::<Vec<_>>()) {
            Some((line, column)) => format!("{file}:{line}:{column}"),
            None => file.to_string(),
        }
    }
}

/// TOML as JSON; a time is its text.
fn to_json(value: toml::Value) -> Value {
    match value {
        toml::Value::Datetime(time) => Value::String(time.to_string()),
        toml::Value::Array(all) => all.into_iter().map(to_json).collect(),
        toml::Value::Table(all) => all.into_iter().map(|(key, value)| (key, to_json(value))).collect(),
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => number.into(),
        toml::Value::Boolean(yes) => yes.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_is_found_where_it_stands() {
        let file = Path::new("b.toml");
        let document = Document::parse(
            file,
            "# roles\n[[scope]]\nproject = \"acme\"\n\n[[scope.binding]]\nuser = \"ada\"\n  rolle = \"Guest\"\n\n\
             [[scope.binding]]\nuser = \"bob\"\n"
                .to_owned(),
        )
        .unwrap();
        for (pointer, at) in [
            ("/scope/0/project", "3:1"),
            ("/scope/0/binding/0", "5:1"),
            ("/scope/0/binding/0/rolle", "7:3"),
            ("/scope/0/binding/1", "9:1"),
            ("/scope/0/binding/1/role", "9:1"),
            ("/scope/7", "2:3"),
        ] {
            assert_eq!(document.place(pointer), format!("b.toml:{at}"), "{pointer}");
        }
        assert_eq!([document.place("/nothing"), document.place("")], ["b.toml", "b.toml"]);
        let told = Document::parse(file, "[[scope]]\nproject = acme\n".to_owned()).err().unwrap().to_string();
        assert!(told.starts_with("b.toml:2:11: this is not TOML"), "{told}");
    }
}

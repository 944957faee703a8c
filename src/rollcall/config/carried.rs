//! The configuration that a backup carries along: every value that is in force, without the secrets. What names a file
//! names it by its whole path, as the copy lies elsewhere.

use std::{
    io,
    path::{Path, absolute},
};

use anyhow::Context;
use rollcall_access::Profile;
use serde_json::{Map, Value};

use crate::config::{files::read_trusted, load::Loaded};

/// The profile's file beside the configuration's, where it is none that comes with Rollcall.
pub const PROFILE_FILE: &str = "profile.toml";

/// A configuration to be put beside a copy of the data.
pub struct Carried {
    /// TOML.
    pub text: String,
    /// The text of the profile's file, where it is none that comes with Rollcall: to be written as [`PROFILE_FILE`].
    pub profile: Option<String>,
    /// The sources whose secret was said and stands in no file: it has to be said again.
    pub without_secret: Vec<String>,
}

const HEAD: &str = "\
# The configuration that was in force when this backup was made, key by key. No secret is in it: what names a file names
# the one that was used, by its whole path.
";

/// The configuration in force, for data that lie in `data_dir`.
///
/// # Errors
/// When a path has no beginning, or it cannot be written as TOML.
pub fn carried(loaded: &Loaded, data_dir: &Path) -> anyhow::Result<Carried> {
    let profile = match Profile::bundled(&loaded.config.access.profile) {
        Some(_) => None,
        None => {
            let path = loaded.origins.of("access.profile").resolve(Path::new(&loaded.config.access.profile));
            Some(read_trusted(&path).with_context(|| format!("{} cannot be read", path.display()))?)
        }
    };
    let mut whole = match serde_json::to_value(&loaded.config)? {
        Value::Object(whole) => whole,
        _ => Map::new(),
    };
    movable(loaded, &mut Vec::new(), &mut whole)?;
    let section = |whole: &mut Map<String, Value>, section: &str, key: &str, value: Value| {
        if let Some(Value::Object(section)) = whole.get_mut(section) {
            section.insert(key.to_owned(), value);
        }
    };
    section(&mut whole, "server", "data_dir", text_of(&absolute(data_dir)?));
    if profile.is_some() {
        section(&mut whole, "access", "profile", PROFILE_FILE.into());
    }
    let names = loaded.secrets.keys().map(ToString::to_string);
    let without_secret: Vec<String> =
        names.filter(|name| loaded.origins.holds(&format!("source.{name}.secret"))).collect();
    let mut text = HEAD.to_owned();
    for name in &without_secret {
        text.push_str(&format!(
            "# The secret of source {name} stood in no file: put it into one and name that below, as `secret_file`.\n"
        ));
    }
    text.push_str(&format!("\n{}", toml::to_string(&whole)?));
    Ok(Carried { text, profile, without_secret })
}

/// Takes out what nobody said, and makes whole paths of those that are relative to the file that said them.
fn movable(loaded: &Loaded, path: &mut Vec<String>, map: &mut Map<String, Value>) -> io::Result<()> {
    map.retain(|_, value| !value.is_null());
    for (name, value) in map {
        path.push(name.clone());
        match value {
            Value::Object(inner) => movable(loaded, path, inner)?,
            Value::String(file) if name.ends_with("_file") => {
                *value = text_of(&absolute(loaded.origins.of(&path.join(".")).resolve(Path::new(file)))?);
            }
            _ => {}
        }
        path.pop();
    }
    Ok(())
}

fn text_of(path: &Path) -> Value {
    path.display().to_string().into()
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::config::load::{Inputs, load};

    const SECRET: &str = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";

    fn loaded(text: &str, env: &[(String, String)]) -> Loaded {
        let read = |path: &Path| match path.file_name().and_then(|name| name.to_str()) {
            Some("flexnet.secret") => Ok(SECRET.to_owned()),
            _ => Err(io::ErrorKind::NotFound.into()),
        };
        load(&Inputs { file: Some((Path::new("/etc/rollcall/rollcall.toml"), text)), env, flags: &[], read: &read })
            .unwrap_or_else(|problems| panic!("{problems:?}"))
    }

    #[test]
    fn what_is_carried_is_the_same_configuration_wherever_it_lies() {
        let first = loaded(
            "[server]\nmax_body = \"1MiB\"\n[access]\nprofile = \"portus\"\nproducer_role = \"contributor\"\n\
             consumer_role = \"viewer\"\n[access.switches]\npush_policy = \"admin-only\"\n\
             [source.flexnet]\nsecret_file = \"../flexnet.secret\"\n",
            &[],
        );
        let carried = carried(&first, Path::new("/srv/copy")).unwrap();
        assert!(carried.without_secret.is_empty() && carried.profile.is_none());
        assert!(!carried.text.contains(SECRET), "{}", carried.text);
        assert!(carried.text.contains("secret_file = \"/etc/rollcall/../flexnet.secret\""), "{}", carried.text);
        let again = loaded(&carried.text, &[]);
        assert_eq!(again.config.server.data_dir, Path::new("/srv/copy"));
        assert_eq!((&again.config.access, &again.config.token), (&first.config.access, &first.config.token));
        assert_eq!(again.config.server.max_body, first.config.server.max_body);
        assert_eq!(again.config.source.len(), 1);
    }

    #[test]
    fn a_secret_that_stood_in_no_file_is_left_out_and_said_to_be() {
        let env = [("ROLLCALL__SOURCE__FLEXNET__SECRET".to_owned(), SECRET.to_owned())];
        let carried = carried(&loaded("[source.flexnet]\nkind = \"entitlements\"\n", &env), Path::new("copy")).unwrap();
        assert_eq!(carried.without_secret, ["flexnet"]);
        assert!(!carried.text.contains("whsec_"), "{}", carried.text);
        assert!(carried.text.contains("# The secret of source flexnet stood in no file"), "{}", carried.text);
    }
}

//! What of an image's name is the project here: the registry before it is none, whatever it is called.

use rollcall_app::{
    access::{projects::Project, secrets::RegistryShown},
    words::pasted::Image,
};

use crate::{cli::remote::request::api_path, client::Client};

/// A name as questions take it, and what is to be said of what was left away.
pub struct ReadImage {
    /// `acme/db`.
    pub name: String,
    /// What was left away or kept, where that is not plain.
    pub notes: Vec<String>,
}

/// Project and rest.
pub fn split(name: &str) -> (&str, Option<&str>) {
    name.split_once('/').map_or((name, None), |(project, rest)| (project, Some(rest)))
}

/// An image without registry and version. What looks like a registry and is the name of a project here is the project.
pub async fn without_registry(client: &Client, image: &Image) -> ReadImage {
    let plain = ReadImage { name: image.name.clone(), notes: Vec::new() };
    let Some(host) = &image.host else { return plain };
    let known = client.get::<RegistryShown>(&api_path(&["registry"]), &[]).await;
    let known = known.ok().and_then(|reply| reply.value.host);
    if known.as_ref().is_some_and(|known| known.eq_ignore_ascii_case(host)) {
        return plain;
    }
    if !host.contains(':') && client.get::<Project>(&api_path(&["projects", host]), &[]).await.is_ok() {
        let note = format!("note: {host} is a project here and is taken for one");
        return ReadImage { name: format!("{host}/{}", image.name), notes: vec![note] };
    }
    let note = match known {
        Some(known) => format!("note: {host} is left away; the registry of this server is {known}"),
        None => format!("note: {host} is left away; which registry this server is for, `token.registry` does not say"),
    };
    ReadImage { notes: vec![note], ..plain }
}

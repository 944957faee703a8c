//! What the global arguments mean: the configuration in force, the server to ask and the key to ask with.

use anyhow::Context;
use reqwest::Url;

use crate::{
    cli::args::Global,
    client::{Client, Failure, http_client},
    config::{data_dir::DataDir, discover::discover, load::Loaded, merge::FlagValue, origin::Problem},
};

/// The configuration in force with these arguments and what further flags say.
///
/// # Errors
/// Every problem that there is.
pub fn load_config(global: &Global, flags: &[FlagValue]) -> Result<Loaded, Vec<Problem>> {
    let mut flags = flags.to_vec();
    if let Some(dir) = &global.data_dir {
        flags.push(FlagValue { key: "server.data_dir".into(), value: dir.display().to_string(), flag: "--data-dir" });
    }
    discover(global.config.as_deref(), &flags)
}

/// The configuration in force.
///
/// # Errors
/// When there are problems: each on a line of its own.
pub fn loaded(global: &Global) -> Result<Loaded, Failure> {
    load_config(global, &[]).map_err(|problems| problems_as_failure(&problems))
}

/// Every problem on a line of its own.
pub fn problems_as_failure(problems: &[Problem]) -> Failure {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    Failure::Usage(lines.join("\nrollcall: "))
}

/// The data directory that the configuration names.
///
/// # Errors
/// When there are problems.
pub fn data_dir(global: &Global) -> Result<DataDir, Failure> {
    let dir = DataDir::new(&loaded(global)?.config.server.data_dir);
    dir.check()?;
    Ok(dir)
}

/// Where the server is: the argument, the configuration, what the data directory remembers, or where it listens by default.
///
/// # Errors
/// When that is no address.
pub fn server_address(global: &Global, loaded: &Loaded, dir: &DataDir) -> anyhow::Result<Url> {
    let server = &loaded.config.server;
    let text = global.server.clone().or_else(|| server.public_url.clone()).or_else(|| dir.server_url());
    let text = text.unwrap_or_else(|| server.url_of(server.listen));
    let url = Url::parse(&text).with_context(|| format!("`{text}` is not the address of a server"))?;
    anyhow::ensure!(
        ["http", "https"].contains(&url.scheme()),
        "`{text}` is not the address of a server: it begins with http:// or https://"
    );
    Ok(url)
}

/// A client of the server that the arguments name.
///
/// # Errors
/// When there is no address or no key.
pub fn client(global: &Global, loaded: &Loaded) -> anyhow::Result<Client> {
    let dir = DataDir::new(&loaded.config.server.data_dir);
    // Whoever may write there says whom the key is sent to.
    dir.check()?;
    let base = server_address(global, loaded, &dir)?;
    let key = dir.client_key(global.token_file.as_deref(), |name| std::env::var(name).ok())?;
    Ok(Client::new(http_client(&base, global.ca_file.as_deref())?, base, key))
}

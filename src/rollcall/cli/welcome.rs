//! What the start of a server prints: addresses and commands, each ready to paste.

use std::{fs, path::Path};

use crate::{
    cli::output::{ColorMode, shell_quote},
    demo::sample::{self, ADA, ADA_ENTITLEMENT, IMAGE},
    server::telemetry::VERSION,
};

/// How this program is called from where it was started, so that what is printed can be pasted.
pub fn program_name() -> String {
    let Ok(own) = std::env::current_exe() else { return "rollcall".into() };
    let found = std::env::var_os("PATH")
        .and_then(|path| std::env::split_paths(&path).map(|dir| dir.join("rollcall")).find(|path| path.is_file()));
    let same = |path: &Path| fs::canonicalize(path).ok() == fs::canonicalize(&own).ok();
    if found.is_some_and(|path| same(&path)) {
        return "rollcall".into();
    }
    let here = std::env::current_dir().ok();
    let near = here.and_then(|here| own.strip_prefix(here).ok().map(|near| Path::new(".").join(near)));
    shell_quote(&near.unwrap_or(own).display().to_string())
}

/// What the start of a demo prints: addresses and commands, each ready to paste.
pub struct Welcome<'a> {
    /// The server's address, as clients reach it.
    pub url: &'a str,
    /// The tokens' service.
    pub service: &'a str,
    /// The program with the flags that find this server.
    pub program: &'a str,
    /// Where the data is, and which engine keeps it.
    pub data: &'a str,
    /// ada's secret, at the first start.
    pub secret: Option<&'a str>,
    /// The administrator's key, or where it is, when it was made just now.
    pub admin_key: Option<&'a str>,
}

impl Welcome<'_> {
    /// The text.
    pub fn text(&self, paint: ColorMode) -> String {
        let Self { url, service, program, data, secret, admin_key } = self;
        let (producers, projects, people) = sample::size();
        let version = VERSION;
        let mut out = format!(
            "{}  data={data}  demo: {producers} producers, {projects} projects, {people} people\n",
            paint.bold(&format!("rollcall {version}"))
        );
        out.push_str(&format!("  server     {url}\n"));
        if let Some(key) = admin_key {
            out.push_str(&format!("  admin key  {key}\n"));
        }
        // At a later start the secret is not known any more: the commands then use a new one.
        let password = secret.unwrap_or("$SECRET");
        let user = match secret {
            Some(_) => shell_quote(&format!("{ADA}:{password}")),
            None => format!("\"{ADA}:{password}\""),
        };
        let token = |flags: &str, actions: &str| {
            let target = format!("{url}/token?service={service}&scope=repository:{IMAGE}:{actions}");
            format!("curl -sS {flags}-u {user} {}", shell_quote(&target))
        };
        if secret.is_none() {
            out.push_str(&format!(
                "\n{}\n  SECRET=$({program} secrets issue {ADA})\n",
                paint.dim("# ada's secret was shown at the first start; make another one for her")
            ));
        }
        let steps = [
            ("a customer pulls: a token with `pull` in it", token("", "pull")),
            ("she may not push, and is told why", token("-A docker/27.0 ", "push")),
            ("why may she pull?", format!("{program} why {ADA} pull {IMAGE}")),
            (
                "the entitlement that it rests on ends: a signed webhook",
                format!("{program} demo end {ADA_ENTITLEMENT}"),
            ),
            ("now the token is refused, and `why` names the event", format!("{program} why {ADA} pull {IMAGE}")),
            ("and again", format!("{program} demo renew {ADA_ENTITLEMENT}")),
        ];
        for (what, command) in steps {
            out.push_str(&format!("\n{}\n  {command}\n", paint.dim(&format!("# {what}"))));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_can_be_pasted_and_shows_no_key_a_second_time() {
        let mut welcome = Welcome {
            url: "http://127.0.0.1:8080",
            service: "rollcall",
            program: "./target/release/rollcall",
            data: "rollcall-data",
            secret: Some("rcs_abc"),
            admin_key: Some("rk_abc"),
        };
        let text = welcome.text(ColorMode::Plain);
        assert!(text.contains("  curl -sS -u ada@globex.test:rcs_abc 'http://127.0.0.1:8080/token?service=rollcall&scope=repository:acme/db:pull'\n"), "{text}");
        assert!(text.contains("  ./target/release/rollcall demo end ENT-7\n") && text.contains("rk_abc"));
        (welcome.secret, welcome.admin_key) = (None, None);
        let text = welcome.text(ColorMode::Plain);
        assert!(
            !text.contains("admin key")
                && text.contains("  SECRET=$(./target/release/rollcall secrets issue ada@globex.test)\n"),
            "{text}"
        );
        assert!(text.contains("  curl -sS -u \"ada@globex.test:$SECRET\" 'http://"), "{text}");
    }
}

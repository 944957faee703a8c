//! What `log.level` means.

use rollcall_access::profile::is_typo;
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

/// The modules that are ours: a word that is like one of them and is none is a mistake.
const MODULES: [&str; 14] = [
    "rollcall",
    "rollcall_access",
    "rollcall_api",
    "rollcall_app",
    "rollcall_authn",
    "rollcall_entitlements",
    "rollcall_eventlog",
    "rollcall_events",
    "rollcall_ingest",
    "rollcall_ldap",
    "rollcall_outbound",
    "rollcall_projector",
    "rollcall_registry",
    "rollcall_store",
];

/// The lines that `level` lets through.
///
/// # Errors
/// What is wrong with it, and what would be right.
pub fn log_filter(level: &str) -> Result<EnvFilter, String> {
    let levels = || "one of error, warn, info, debug, trace, perhaps per module".to_owned();
    for word in level.split(',').map(str::trim) {
        // A library takes numbers too, of which nobody knows whether the greater one says more.
        if word.rsplit('=').next().is_some_and(|level| level.trim().parse::<u64>().is_ok()) {
            return Err(levels());
        }
        let Some(end) = word.find(['=', '[']) else {
            // A bare word that is no level would be taken for the name of a module.
            word.parse::<LevelFilter>().map_err(|_| levels())?;
            continue;
        };
        let module = word.get(..end).and_then(|target| target.split("::").next()).unwrap_or_default();
        let near = MODULES.iter().find(|known| is_typo(module, known));
        if !MODULES.contains(&module)
            && let Some(near) = near.or_else(|| module.starts_with("rollcall").then_some(&"rollcall"))
        {
            return Err(format!("there is no module `{}`; did you mean `{near}`?", module.escape_debug()));
        }
    }
    EnvFilter::try_new(level).map_err(|_| levels())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_module_of_ours_can_be_named() {
        let manifest = include_str!("../Cargo.toml");
        let ours = manifest.lines().filter_map(|line| line.strip_suffix(".workspace = true"));
        for name in ours.filter(|name| name.starts_with("rollcall-")) {
            assert!(MODULES.contains(&name.replace('-', "_").as_str()), "{name}");
        }
    }

    #[test]
    fn a_level_is_a_level() {
        for good in ["info", "debug", "info,rollcall_registry=debug"] {
            assert!(log_filter(good).is_ok(), "{good}");
        }
        for bad in ["loud", "info,loud", "rollcall=loud", "5", "0", "info,rollcall=5"] {
            assert!(log_filter(bad).is_err(), "{bad}");
        }
    }
}

//! What `log.level` means.

use tracing_subscriber::{
    EnvFilter,
    filter::{LevelFilter, ParseError},
};

/// The lines that `level` lets through.
///
/// # Errors
/// When it is no level.
pub fn log_filter(level: &str) -> Result<EnvFilter, ParseError> {
    // A bare word that is no level would be taken for the name of a module.
    let words = level.split(',').map(str::trim);
    for word in words.filter(|word| !word.contains(['=', '['])) {
        word.parse::<LevelFilter>().map_err(ParseError::from)?;
    }
    EnvFilter::try_new(level)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_a_level() {
        for good in ["info", "debug", "info,rollcall_registry=debug"] {
            assert!(log_filter(good).is_ok(), "{good}");
        }
        for bad in ["loud", "info,loud", "rollcall=loud"] {
            assert!(log_filter(bad).is_err(), "{bad}");
        }
    }
}

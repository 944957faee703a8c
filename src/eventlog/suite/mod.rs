//! The rules of a log (`conformance`), run on every engine through the facade.

mod conformance;
pub(crate) mod kit;

mod memory {
    use std::sync::Arc;

    use rollcall_events::LogId;

    use super::{conformance::conformance, kit::TestClock};
    use crate::Log;

    async fn open(clock: Arc<TestClock>) -> (Log, ()) {
        (Log::in_memory(LogId([7; 8]), clock), ())
    }
    conformance!(open);
}

mod sqlite {
    use std::sync::Arc;

    use super::{
        conformance::conformance,
        kit::{Dir, TestClock},
    };
    use crate::{EngineConfig, Log};

    async fn open(clock: Arc<TestClock>) -> (Log, Dir) {
        let dir = Dir::new();
        (Log::open(&EngineConfig::Embedded { dir: dir.0.clone() }, clock).await.unwrap(), dir)
    }
    conformance!(open);
}

#[test]
fn every_engine_is_held_to_the_rules() {
    let engines = include_str!("../engines/mod.rs").lines().filter_map(|line| line.strip_prefix("pub(crate) mod "));
    let names: Vec<_> = engines.map(|line| line.trim_end_matches(';')).collect();
    assert!(names.len() >= 2, "{names:?}");
    for name in names {
        let here = format!("mod {name} {{");
        assert!(include_str!("mod.rs").lines().any(|line| line == here), "no conformance suite of the engine {name}");
    }
}

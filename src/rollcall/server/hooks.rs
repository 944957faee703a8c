//! The hooks of the sources that post, as the configuration says them, and whether each is retired, as the roster does.

use std::sync::Arc;

use rollcall_access::SharedRoster;
use rollcall_events::SourceName;
use rollcall_ingest::{HookRoute, IsRetired};

use crate::{
    config::load::Loaded,
    sources::{ConfiguredSource, Notifications},
};

/// The hooks of the sources that post.
pub fn hook_routes(loaded: &Loaded, live: &Arc<SharedRoster>) -> Vec<HookRoute> {
    let live = Arc::clone(live);
    let is_retired: IsRetired = Arc::new(move |source| live.read().retirement(source.as_str()).is_some());
    let server_max_body = loaded.config.server.max_body;
    let route = |(name, source): (&SourceName, &ConfiguredSource)| {
        let Notifications { hook, max_body, .. } = loaded.sources.get(name)?.hook.as_ref()?;
        Some(HookRoute {
            source: name.clone(),
            order: source.order(),
            hook: Arc::clone(hook),
            max_body: max_body.unwrap_or(server_max_body).bytes(),
            max_in_flight: HookRoute::MAX_IN_FLIGHT,
            max_quarantine: HookRoute::MAX_QUARANTINE,
            is_retired: Arc::clone(&is_retired),
        })
    };
    loaded.config.source.iter().filter_map(route).collect()
}

#![doc = include_str!("README.md")]

pub mod body;
mod clock;
mod digest;
pub mod dn;
mod envelope;
mod epoch;
mod ids;
pub mod json;
pub mod names;
mod reader;
mod schema;
pub mod size;
pub mod spoken;
pub mod time;
mod version;
pub mod visible;

pub use body::settings::{Order, Settings, SourceSettings};
pub use body::{Body, Command, Emitter, Newer};
pub use clock::Clock;
pub use digest::{Digest, Sha256Hex};
pub use envelope::{EventKey, NewEvent, Recorded, chain_start, chain_step};
pub use epoch::{Epoch, StaleEpoch, run_id};
pub use ids::{Id, InvalidName, LOCAL, LogId, Position, ProjectName, SourceName, prefixed_id, project_name_of};
pub use json::SchemaError;
pub use reader::{READER_RAISED, Raised, Reader};
pub use schema::{schema_of, schemas};
pub use version::Version;

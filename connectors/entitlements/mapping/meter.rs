//! How much work one body may cost. Counted in steps, not in time: the same body costs the same wherever it is mapped.

use std::{
    any::Any,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use cel::{
    ExecutionError,
    common::{
        types::Type,
        value::{StaticVal, Val},
    },
};

/// The name under which an expression finds its meter. No expression can spell it.
pub(super) const METER: &str = "@meter";

/// The steps that are left. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Meter(Arc<Left>);

#[derive(Debug)]
struct Left {
    steps: AtomicU64,
    exhausted: AtomicBool,
}

impl Meter {
    pub fn of(steps: u64) -> Self {
        Self(Arc::new(Left { steps: AtomicU64::new(steps), exhausted: AtomicBool::new(false) }))
    }

    /// Takes so many steps off.
    ///
    /// # Errors
    /// There are not so many. It stays exhausted, whatever an expression makes of that error.
    pub fn charge(&self, steps: u64) -> Result<(), ExecutionError> {
        let left = self.0.steps.load(Ordering::Relaxed).checked_sub(steps);
        self.0.steps.store(left.unwrap_or(0), Ordering::Relaxed);
        if left.is_some() {
            return Ok(());
        }
        self.0.exhausted.store(true, Ordering::Relaxed);
        Err(ExecutionError::function_error(METER, "the body costs too much to map"))
    }

    pub fn is_exhausted(&self) -> bool {
        self.0.exhausted.load(Ordering::Relaxed)
    }
}

static METER_TYPE: Type = Type::new_unspecified_type("meter");

impl Val for Meter {
    fn get_type(&self) -> &Type {
        &METER_TYPE
    }
    fn cel_type() -> &'static Type {
        &METER_TYPE
    }
    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
    where
        Self: 'v,
    {
        Box::new(self.clone())
    }
    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl StaticVal for Meter {}

//! Questions beyond yes and no: why, who, since when. Each is answered on a roster as it is, of now or of the past.

pub(crate) mod apart;
pub(crate) mod difference;
pub(crate) mod explain;
pub(crate) mod link_flaws;
pub(crate) mod links;
pub(crate) mod made_again;
pub(crate) mod members;
pub(crate) mod names;
pub(crate) mod problems;
pub(crate) mod report;

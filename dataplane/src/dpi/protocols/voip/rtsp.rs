//! Which streams are asked for over RTSP?
use crate::dpi::{Category, Protocol};
/// RTSP.
pub static RTSP: Protocol =
    Protocol { name: "rtsp", eve: None, category: Category::Media, probes: &[], parser: None };

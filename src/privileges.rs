//! Which rights does the process keep once it serves?
//!
//! Attaching programs, opening sockets and making devices needs CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF;
//! serving needs none of them. Rights belong to threads and are inherited from the maker: the main thread
//! gives its own up after everything is open and before it makes the workers. Only the thread that passes
//! link states on keeps CAP_NET_ADMIN, because it is made before.

use caps::{CapSet, Capability, CapsHashSet};

/// Gives up every capability of the calling thread but `keep`.
///
/// # Errors
///
/// When the kernel refuses, a sentence; the rights are then unchanged or already fewer.
pub(crate) fn lower(keep: &[Capability]) -> Result<(), String> {
    let held = caps::read(None, CapSet::Permitted).map_err(|error| error.to_string())?;
    let keep: CapsHashSet = keep.iter().copied().filter(|capability| held.contains(capability)).collect();
    // While CAP_SETPCAP is there, programs that we start cannot get more either.
    if held.contains(&Capability::CAP_SETPCAP) {
        for capability in caps::all().into_iter().filter(|capability| !keep.contains(capability)) {
            // A kernel may not know the newest.
            let _ = caps::drop(None, CapSet::Bounding, capability);
        }
    }
    for set in [CapSet::Ambient, CapSet::Inheritable] {
        caps::clear(None, set).map_err(|error| error.to_string())?;
    }
    for set in [CapSet::Effective, CapSet::Permitted] {
        caps::set(None, set, &keep).map_err(|error| error.to_string())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lowered_thread_keeps_what_was_asked_for_and_its_children_too() {
        let held = caps::read(None, CapSet::Permitted).unwrap();
        std::thread::spawn(move || {
            lower(&[Capability::CAP_NET_ADMIN]).unwrap();
            let expected: CapsHashSet =
                held.into_iter().filter(|capability| *capability == Capability::CAP_NET_ADMIN).collect();
            let inherited = std::thread::spawn(|| caps::read(None, CapSet::Effective)).join().unwrap();
            assert_eq!(inherited.unwrap(), expected);
            lower(&[]).unwrap();
            assert!(caps::read(None, CapSet::Permitted).unwrap().is_empty());
        })
        .join()
        .unwrap();
    }
}

//! Work of one kind on several threads, and what comes of it in the order in which it was given.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Does `one` for each of `work`, on a thread for each of `contexts`, which it may change; a thread takes `at_once` of them at a time.
///
/// What comes of it does not depend on the number of threads unless contexts differ. A panic of one thread is the caller's.
pub(super) fn each<W: Sync, C: Send, R: Send>(
    work: &[W],
    at_once: usize,
    contexts: &mut [C],
    one: impl Fn(&W, &mut C) -> R + Sync,
) -> Vec<R> {
    let at_once = at_once.max(1);
    let next = AtomicUsize::new(0);
    let some = |context: &mut C| {
        let mut done = Vec::new();
        loop {
            // Relaxed: it only counts; the work was there before the threads.
            let from = next.fetch_add(at_once, Ordering::Relaxed);
            let taken = work.get(from..).unwrap_or_default();
            if taken.is_empty() {
                break done;
            }
            let results: Vec<R> = taken.iter().take(at_once).map(|item| one(item, context)).collect();
            done.push((from, results));
        }
    };
    // No more than have something to do.
    let threads = work.len().div_ceil(at_once).max(1).min(contexts.len());
    let Some((own, others)) = contexts[..threads].split_first_mut() else { return Vec::new() };
    let mut done = std::thread::scope(|scope| {
        let some = &some;
        let others: Vec<_> = others.iter_mut().map(|context| scope.spawn(move || some(context))).collect();
        let mut done = some(own);
        for other in others {
            match other.join() {
                Ok(more) => done.extend(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        done
    });
    done.sort_unstable_by_key(|(from, _)| *from);
    done.into_iter().flat_map(|(_, results)| results).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_of_work_is_in_its_order_and_each_is_done_once() {
        for (len, at_once, threads) in
            [(0, 4, 3), (1, 4, 3), (100, 7, 1), (100, 7, 3), (100, 1, 8), (5, 0, 2)]
        {
            let work: Vec<usize> = (0..len).collect();
            let mut counts = vec![0; threads];
            let done = each(&work, at_once, &mut counts, |number, count| {
                *count += 1;
                number * 2
            });
            assert_eq!(done, work.iter().map(|number| number * 2).collect::<Vec<_>>());
            assert_eq!(counts.iter().sum::<usize>(), len);
        }
    }

    #[test]
    fn without_a_context_nothing_is_done() {
        assert_eq!(each(&[1, 2], 1, &mut [(); 0], |number: &i32, ()| *number), [0; 0]);
    }
}

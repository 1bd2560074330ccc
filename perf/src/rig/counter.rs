//! How much arrived? An XDP program on each far end counts, reads time stamps, and drops.

use std::time::{Duration, Instant};

use aya::Ebpf;
use aya::maps::{MapData, PerCpuArray};
use aya::programs::{Xdp, XdpMode};

use super::{Error, FAR_OBJECT, Rig};

/// Buckets of the latency histogram, as in `far.bpf.c`.
const BUCKETS: u32 = 2048;
/// Steps to a power of two in that histogram.
const STEPS: u64 = 32;

/// What arrived at one far end, or at both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Arrived {
    /// IP packets.
    pub(crate) packets: u64,
    /// Their bytes, without FCS.
    pub(crate) bytes: u64,
    /// Frames that are not IP.
    pub(crate) other: u64,
    /// Packets with a time stamp.
    pub(crate) stamped: u64,
    /// Sum of their latencies, ns.
    pub(crate) latency_sum_ns: u64,
}

impl Arrived {
    /// What came since `earlier`.
    pub(crate) const fn since(self, earlier: Self) -> Self {
        Self {
            packets: self.packets - earlier.packets,
            bytes: self.bytes - earlier.bytes,
            other: self.other - earlier.other,
            stamped: self.stamped - earlier.stamped,
            latency_sum_ns: self.latency_sum_ns - earlier.latency_sum_ns,
        }
    }

    const fn plus(self, other: Self) -> Self {
        Self {
            packets: self.packets + other.packets,
            bytes: self.bytes + other.bytes,
            other: self.other + other.other,
            stamped: self.stamped + other.stamped,
            latency_sum_ns: self.latency_sum_ns + other.latency_sum_ns,
        }
    }
}

/// The counting programs of both far ends; detached when dropped.
#[derive(Debug)]
pub(crate) struct Counters {
    ends: [Ebpf; 2],
}

impl Counters {
    /// Attaches the counting program to both far ends. The calling thread is in their namespace.
    ///
    /// # Errors
    ///
    /// No permission, or a kernel without native XDP on veth.
    pub(crate) fn attach(rig: &Rig) -> Result<Self, Error> {
        let [a, b] = rig.far_ends();
        Ok(Self { ends: [attach(&a)?, attach(&b)?] })
    }

    /// What arrived at far end A and at far end B since they were attached.
    ///
    /// # Errors
    ///
    /// The kernel refuses to read a map.
    pub(crate) fn by_end(&self) -> Result<[Arrived; 2], Error> {
        Ok([read(&self.ends[0])?, read(&self.ends[1])?])
    }

    /// The sum of both.
    ///
    /// # Errors
    ///
    /// The kernel refuses to read a map.
    pub(crate) fn total(&self) -> Result<Arrived, Error> {
        let [a, b] = self.by_end()?;
        Ok(a.plus(b))
    }

    /// Waits until nothing has arrived for 20 ms (at most a second), then returns the sum.
    ///
    /// # Errors
    ///
    /// The kernel refuses to read a map.
    pub(crate) fn settled(&self) -> Result<Arrived, Error> {
        let start = Instant::now();
        let mut last = self.total()?;
        loop {
            std::thread::sleep(Duration::from_millis(20));
            let now = self.total()?;
            if now == last || start.elapsed() > Duration::from_secs(1) {
                return Ok(now);
            }
            last = now;
        }
    }

    /// Takes the latencies recorded so far: (lower bound of the bucket in ns, packets), ascending.
    ///
    /// # Errors
    ///
    /// The kernel refuses to read or to write a map.
    pub(crate) fn take_latencies(&mut self) -> Result<Vec<(u64, u64)>, Error> {
        let mut found = vec![0_u64; BUCKETS as usize];
        for end in &mut self.ends {
            let map = end.map_mut("latency").expect("far.bpf.c has this map");
            let mut map: PerCpuArray<&mut MapData, u64> =
                map.try_into().map_err(|error| Error::bpf("latency map", error))?;
            for bucket in 0..BUCKETS {
                let values = map.get(&bucket, 0).map_err(|error| Error::bpf("latency map", error))?;
                let sum: u64 = values.iter().sum();
                if sum > 0 {
                    found[bucket as usize] += sum;
                    let zeros = vec![0; values.len()];
                    let zeros = aya::maps::PerCpuValues::try_from(zeros)
                        .map_err(|error| Error::bpf("latency map", error))?;
                    map.set(bucket, zeros, 0).map_err(|error| Error::bpf("latency map", error))?;
                }
            }
        }
        Ok((0..)
            .zip(found)
            .filter(|(_, packets)| *packets > 0)
            .map(|(index, n)| (bucket_start(index), n))
            .collect())
    }
}

/// The least latency that falls into bucket `index`.
const fn bucket_start(index: u64) -> u64 {
    if index < STEPS { index } else { (STEPS + index % STEPS) << (index / STEPS - 1) }
}

fn attach(interface: &str) -> Result<Ebpf, Error> {
    let mut ebpf = Ebpf::load(FAR_OBJECT).map_err(|error| Error::bpf("far ends' programs", error))?;
    let program: &mut Xdp = ebpf
        .program_mut("count")
        .expect("far.bpf.c has this program")
        .try_into()
        .map_err(|error| Error::bpf("counting program", error))?;
    program.load().map_err(|error| Error::bpf("counting program", error))?;
    program
        .attach(interface, XdpMode::Driver)
        .map_err(|error| Error::bpf("attaching the counting program", error))?;
    Ok(ebpf)
}

fn read(ebpf: &Ebpf) -> Result<Arrived, Error> {
    let map = ebpf.map("counts").expect("far.bpf.c has this map");
    let map: PerCpuArray<&MapData, u64> = map.try_into().map_err(|error| Error::bpf("counts map", error))?;
    let of = |key: u32| -> Result<u64, Error> {
        Ok(map.get(&key, 0).map_err(|error| Error::bpf("counts map", error))?.iter().sum())
    };
    Ok(Arrived { packets: of(0)?, bytes: of(1)?, other: of(2)?, stamped: of(3)?, latency_sum_ns: of(4)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The index that `far.bpf.c` computes.
    fn bucket_of(ns: u64) -> u64 {
        let msb = u64::from(63 - ns.max(1).leading_zeros());
        if msb < 5 { ns } else { (msb - 4) * STEPS + ((ns >> (msb - 5)) & (STEPS - 1)) }
    }

    #[test]
    fn buckets_start_where_the_program_puts_their_first_value_and_are_three_percent_wide() {
        for index in 0..1200 {
            let start = bucket_start(index);
            assert_eq!(bucket_of(start), index);
            assert!(index == 0 || bucket_of(start - 1) == index - 1);
        }
        assert!(bucket_start(701) * 100 <= bucket_start(700) * 104);
    }
}

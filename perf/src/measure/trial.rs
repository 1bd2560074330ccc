//! One run: send, wait until nothing arrives any more, and account for every packet.

use std::time::Duration;

use super::cost::{Meter, Spent};
use super::latency::Percentiles;
use super::search::Probe;
use super::watchdog::{Stalls, Watchdog};
use crate::drivers::{Error, Running};
use crate::rig::Rig;
use crate::rig::counter::Counters;
use crate::rig::sender::{Rate, Sender, Sent, Until};
use crate::traffic::Workload;

/// What one run saw.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Trial {
    pub(crate) asked: Rate,
    pub(crate) sent: Sent,
    /// Packets that arrived at either far end.
    pub(crate) arrived: u64,
    /// Packets that did not (more arriving than sent counts as none).
    pub(crate) lost: u64,
    pub(crate) latency: Option<Percentiles>,
    pub(crate) spent: Vec<Spent>,
}

impl Trial {
    /// Packets a second that came through, over the time in which they were sent.
    pub(crate) fn delivered_pps(&self) -> f64 {
        if self.sent.elapsed_ns == 0 { 0.0 } else { self.arrived as f64 * 1e9 / self.sent.elapsed_ns as f64 }
    }

    /// For the search.
    pub(crate) fn probe(&self) -> Probe {
        Probe {
            asked_pps: match self.asked {
                Rate::Unlimited => self.sent.rate_pps(),
                Rate::PacketsPerSecond(pps) => pps,
            },
            reached_pps: self.sent.rate_pps(),
            sent: self.sent.packets,
            lost: self.lost,
        }
    }
}

/// Rig, device, counters and sender together, ready for trials.
#[derive(Debug)]
pub(crate) struct Bench<'rig> {
    pub(crate) rig: &'rig Rig,
    pub(crate) device: Running,
    counters: Counters,
    sender: Sender,
}

/// How fast flows are set up at first. A device that loses first packets gets them again at half the pace,
/// until nearly all came through: a flow that was never set up would cost it more in every trial.
const WARM_UP_PPS: f64 = 250_000.0;
const WARM_UP_ROUNDS_MAX: u32 = 6;
const WARM_UP_LOSS_MAX: f64 = 1e-3;
/// How long a device may take until the first packet comes through.
const READY_S: u64 = 60;

impl<'rig> Bench<'rig> {
    /// Waits until `device` forwards, sets up the workload's flows, and loads its packets.
    ///
    /// # Errors
    ///
    /// The device ended, forwards nothing, or BPF refuses.
    pub(crate) fn new(rig: &'rig Rig, mut device: Running, workload: &Workload) -> Result<Self, Error> {
        let counters = Counters::attach(rig)?;
        rig.place_napi()?;
        let mut sender = Sender::new(rig, &workload.load)?;
        let mut warm_up =
            (!workload.warm_up.is_empty()).then(|| Sender::new(rig, &workload.warm_up)).transpose()?;
        // Both directions' first packets, where the warm-up has them, are sent until one arrives.
        let start = std::time::Instant::now();
        let before = counters.total()?;
        loop {
            device.check()?;
            warm_up.as_mut().unwrap_or(&mut sender).send(Rate::Unlimited, Until::Packets(1))?;
            std::thread::sleep(Duration::from_millis(50));
            if counters.total()?.packets > before.packets {
                break;
            }
            if start.elapsed().as_secs() > READY_S {
                return Err(Error::Silent {
                    name: device.name.clone(),
                    seconds: READY_S,
                    said: device.said(),
                });
            }
        }
        // Programs may have been attached by the device since.
        rig.place_napi()?;
        if let Some(warm_up) = &mut warm_up {
            set_up_flows(warm_up, &counters, Until::Packets(workload.warm_up.len() as u64))?;
        }
        counters.settled()?;
        Ok(Self { rig, device, counters, sender })
    }

    /// Sends the load for `duration` and accounts for it.
    ///
    /// # Errors
    ///
    /// The device ended, or BPF refuses.
    pub(crate) fn trial(&mut self, rate: Rate, duration: Duration) -> Result<Trial, Error> {
        self.device.check()?;
        self.counters.take_latencies().map_err(Error::from)?;
        let before = self.counters.settled()?;
        let mut meter = Meter::start(self.device.tasks(self.rig));
        let sent = self.sender.send(rate, Until::Elapsed(duration))?;
        let spent = meter.read();
        let arrived = self.counters.settled()?.since(before).packets;
        let latency = Percentiles::of(&self.counters.take_latencies()?);
        let lost = sent.packets.saturating_sub(arrived);
        self.device.check()?;
        Ok(Trial { asked: rate, sent, arrived, lost, latency, spent })
    }

    /// The same, and whether the machine stood still meanwhile.
    ///
    /// # Errors
    ///
    /// As [`Bench::trial`]; no permission to raise a thread's priority.
    pub(crate) fn watched_trial(&mut self, rate: Rate, duration: Duration) -> Result<(Trial, Stalls), Error> {
        let config = &self.rig.config;
        let watchdog = Watchdog::start([config.sender_core, config.dut_core])?;
        let trial = self.trial(rate, duration)?;
        Ok((trial, watchdog.finish()))
    }
}

fn set_up_flows(warm_up: &mut Sender, counters: &Counters, packets: Until) -> Result<(), Error> {
    let mut pps = WARM_UP_PPS;
    for _ in 0..WARM_UP_ROUNDS_MAX {
        let before = counters.settled()?;
        let sent = warm_up.send(Rate::PacketsPerSecond(pps), packets)?.packets;
        let arrived = counters.settled()?.since(before).packets;
        if sent.saturating_sub(arrived) as f64 <= WARM_UP_LOSS_MAX * sent as f64 {
            return Ok(());
        }
        pps /= 2.0;
    }
    crate::say("  not all flows could be set up");
    Ok(())
}

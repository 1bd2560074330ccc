//! The appliance: configure, pin, start, serve, drain, stop.
//!
//! [`run`] is the boot story from top to bottom; every other command is one call. What a step does is in the
//! module that it names.
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails says so by panicking")
)]

mod audit;
mod backup;
mod check;
mod cli;
mod completions;
mod config;
mod cores;
mod dhcp;
mod ctl;
mod events;
mod failure;
mod geography;
mod keygen;
mod levers;
mod links;
mod log;
mod policy;
mod portal;
mod preflight;
mod privileges;
mod oidc;
mod radius;
mod replay;
mod restore;
mod rule_lists;
mod rules;
mod serve;
mod scrub;
mod setup;
mod signals;
mod support;
mod syslog;
mod table;
mod threads;
#[cfg(test)]
mod tidy;
mod top;
mod trust;
mod users;
mod wire;
mod work;
mod workers;

use clap::Parser;
use cli::{Cli, Command, Live};
use config::{Config, Ports};
use controlplane::services::live::{Bounds, Hub};
use controlplane::services::{EventCounts, EventPump, Identities, Names, Parts, Services};
use controlplane::sources::dhcp::Dhcp;
use controlplane::sources::oidc::fetch_keys;
use controlplane::sources::radius::Radius;
use controlplane::sources::syslog::Syslog;
use dataplane::control::{Snapshot, door};
use dataplane::host::Shared;
use failure::Failure;
use serve::Serving;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Run(typed) => run(&typed),
        Command::Attach(typed) => attach(&typed),
        Command::Replay(typed) => replay::run(&typed),
        Command::Check(typed) => check::run(&typed).map(|lines| say(&lines)),
        Command::Detach(typed) => detach(&typed).map(|lines| say(&lines)),
        Command::Audit(typed) => audit::run(&typed).map(|lines| say(&lines)),
        Command::Ctl(typed) => ctl::run(&typed).map(|answer| say(answer.as_slice())),
        Command::Top(typed) => top::run(&typed),
        Command::Completions { shell } => completions::script(shell).map(|script| say(&[script])),
        Command::Keygen(typed) => keygen::run(&typed).map(|lines| say(&lines)),
        Command::Restore(typed) => restore::run(&typed).map(|lines| say(&lines)),
        Command::Token(typed) => ctl::token(&typed).map(|token| say(&[token])),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::from(1)
        }
    }
}

/// Puts the appliance on the wire and serves until it is asked to stop.
fn run(typed: &Live) -> Result<(), Failure> {
    // What was typed, what it means, and whether this machine can do it.
    let config = configure(typed)?;
    let inspection = setup::inspection(&config)?;
    let mut policies = setup::policies(&config, inspection.as_ref());
    if !trust::entities_file(&config).exists() {
        // Nothing is saved yet, so the file must do; its errors are told before anything is touched.
        setup::load_policies(&mut setup::policies(&config, inspection.as_ref()), &config)?;
    }
    let (tls, warnings) = setup::tls(&config)?;
    for warning in &warnings {
        tracing::warn!("{warning}");
    }
    let portal = portal::config(&config)?.map(|(portal, warnings)| {
        warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        portal
    });
    serve::make_directories(&config)?;
    links::recover(&serve::held_down_note(&config), &config);
    let plan = preflight::check(&config)?;

    // Whatever thread is made from here on stays off the workers' cores.
    cores::keep_to(&plan.control)
        .map_err(|error| Failure::line(format!("cannot keep to cores {:?}: {error}", plan.control)))?;

    // Who may ask: accounts, sessions and keys.
    restore::finish(&config)?;
    let now_s = serve::now().wall.0 / 1_000_000_000;
    let trust::Opened { auth, subjects, entities, box_key, first: first_admin, history } =
        trust::open(&config, now_s)?;
    if let Some(first) = &first_admin {
        let scheme = if tls.is_some() { "https" } else { "http" };
        say(&trust::welcome(first, &format!("{scheme}://{}", config.api.listen)));
    }

    let segments = trust::segments(&config)?;
    let recorder = trust::recorder(&config, &segments)?;
    let audit = trust::audit(&config, segments, &auth, &subjects)?;
    // Wildcards of the policies mean users that were there before.
    let known = trust::identities(&config, &box_key)?;
    policies.know(&known);
    let policy = policies.start(setup::policy_sources(&config, history), now_s)?;

    let keeper = rules::Keeper::start(&config, plan.workers.len(), &entities)?;
    let rules = Arc::new(keeper);

    // From the first line on the fail mode holds; if a later one fails, a wire that is new goes again.
    let (live_wire, fresh) = wire::attach(&config).map_err(Failure::line)?;
    let first = Snapshot {
        version: u64::from(policy.version()),
        policy: Arc::new(policy),
        settings: workers::settings(&config),
        apps: None,
        rules: rules.set(),
        shadow: None,
        geography: rules.geography(),
    };
    let (door, doors, receivers) = door(first, plan.workers.len(), Some(Box::new(live_wire.clone())));
    let door = Arc::new(door);
    let built = workers::build(
        &config,
        &live_wire,
        (&door, doors),
        &Arc::new(Shared::default()),
        inspection.as_ref().map(|(inspection, _)| inspection),
    )
    .map_err(Failure::line)?;

    // The control plane: events to disk, requests from the socket and from TCP.
    let names = Arc::new(Names::new(workers::port_names(&config)).of_run(serve::now().wall.0 / 1_000_000));
    let events = Arc::new(EventCounts::default());
    let (file, types) = serve::event_file(&config)?;
    let live = Hub::new(|| serve::now().wall.0, Bounds::default());
    let pump = EventPump::new(receivers, Arc::clone(&names), file, types, Arc::clone(&events));
    let workers = plan.workers.len() as u32;
    let (process, orders) = levers::Process::new(&config, typed, live_wire.clone(), workers);
    let oidc = oidc::config(&config)?;
    let services = Services::new(Parts {
        door: Arc::clone(&door),
        names,
        policies,
        identities: Identities::new(config.identity.several, config.identity.precedence)
            .with_saved(known)
            .with_oidc(oidc.as_ref().map(|(oidc, _)| Arc::clone(oidc))),
        events,
        auth,
        audit,
        captures: Some(serve::captures(&config, typed.config.config.as_deref())),
        backups: Some(trust::backups(&config, typed.config.config.as_deref(), entities, box_key)),
        live,
        levers: Some(Arc::new(process)),
        rules: Some(Arc::new(rules::Book { keeper: Arc::clone(&rules), door: Arc::clone(&door) })),
        clock: serve::now,
        version: env!("CARGO_PKG_VERSION"),
    });

    let dhcp = dhcp::config(&config)?.map(|dhcp| Dhcp::new(dhcp, &services));
    let (dhcp, pump) = match dhcp {
        Some((dhcp, leases)) => (Some(dhcp), pump.with_leases(leases)),
        None => (None, pump),
    };
    let radius = radius::config(&config)?.map(|radius| {
        let at = radius.listen;
        Radius::bind(radius)
            .map_err(|error| Failure::line(format!("cannot listen for RADIUS at {at}: {error}")))
    });
    let radius = radius.transpose()?;
    let syslog = syslog::config(&config)?.map(|syslog| {
        Syslog::bind(syslog)
            .map_err(|(at, error)| Failure::line(format!("cannot listen for syslog at {at}: {error}")))
    });
    let syslog = syslog.transpose()?;

    // All is open: rights go, threads come. Those that need a right are made first.
    let links = serve::listen_to_links(&config, &door)?;
    let threads = serve::worker_threads(&config, &plan)?;
    privileges::lower(&[]).map_err(|error| Failure::line(format!("cannot give up capabilities: {error}")))?;
    trust::tell_start(&services, first_admin.as_ref());
    let radius = radius.map(|radius| radius.start(Arc::clone(&services))).transpose();
    let radius = radius.map_err(|error| Failure::line(format!("no thread for RADIUS: {error}")))?;
    let syslog = syslog.map(|syslog| syslog.start(Arc::clone(&services))).transpose();
    let syslog = syslog.map_err(|error| Failure::line(format!("no thread for syslog: {error}")))?;
    let keys = oidc.map(|(oidc, at)| fetch_keys(oidc, at)).transpose();
    let keys = keys.map_err(|error| Failure::line(format!("no thread for keys of OpenID: {error}")))?;
    let dhcp = dhcp.map(|dhcp| dhcp.start(Arc::clone(&services))).transpose();
    let dhcp = dhcp.map_err(|error| Failure::line(format!("no thread for DHCP leases: {error}")))?;
    let serving = Serving::start(
        &config,
        (tls, portal),
        &plan,
        threads,
        built,
        (pump, recorder),
        services,
        door,
        live_wire,
        (links, orders, rules),
    )?;
    fresh.stays();
    serving.until_asked_to_stop();
    drop((radius, syslog, keys, dhcp));
    Ok(())
}

/// Attaches the wire and leaves it to its fail mode.
fn attach(typed: &Live) -> Result<(), Failure> {
    let config = configure(typed)?;
    preflight::check_ports(&config)?;
    let (_wire, fresh) = wire::attach(&config).map_err(Failure::line)?;
    fresh.stays();
    Ok(())
}

fn detach(typed: &cli::Detach) -> Result<Vec<String>, Failure> {
    let (name, pin_root) = match (&typed.name, &typed.config.config) {
        (Some(name), _) => (name.clone(), typed.pin_root.clone()),
        (None, None) => ("jarvis".to_owned(), typed.pin_root.clone()),
        (None, Some(_)) => {
            let config = setup::read_config(&typed.config, &config::PortFlags::default(), Ports::Optional)?;
            (config.name, config.wire.pin_root)
        }
    };
    if !wire::pinned(&pin_root).contains(&name) {
        return Ok(vec![format!("no wire {name} is pinned under {}", pin_root.display())]);
    }
    let ports = wire::detach(&pin_root, &name).map_err(Failure::line)?;
    Ok(vec![format!(
        "wire {name} is off {}",
        if ports.is_empty() { "its ports".to_owned() } else { ports.join(" and ") }
    )])
}

/// Reads the configuration, lets the flags win, and starts the log.
fn configure(typed: &Live) -> Result<Config, Failure> {
    let mut config = setup::read_config(&typed.config, &typed.ports.flags(), Ports::Required)?;
    config.policy_file = typed.policy.clone().or(config.policy_file);
    config.eve.file = typed.eve.clone().or(config.eve.file);
    config.api.socket = typed.socket.clone().unwrap_or(config.api.socket);
    config.api.listen = typed.listen.unwrap_or(config.api.listen);
    if let Some(name) = &typed.name {
        config.rename(name).map_err(Failure::line)?;
    }
    log::start(&config.log);
    for notice in &config.notices {
        tracing::info!("{notice}");
    }
    Ok(config)
}

/// Whoever reads it may have heard enough (`| head`): then nothing more is said.
fn say(lines: &[String]) {
    let mut out = std::io::stdout().lock();
    for line in lines {
        if writeln!(out, "{line}").is_err() {
            break;
        }
    }
}

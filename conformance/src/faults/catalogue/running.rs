//! Nodes that do not run as they were told.

use std::time::Duration;

use super::Entry;
use crate::faults::Fault;
use crate::subject::Limits;

const FOREVER: Duration = Duration::from_secs(3600);

pub(super) const FAULTS: &[Entry] = &[
    // The front alone spoils nothing: what fails here says nothing about any other fault.
    Entry::new(super::NOTHING, |_| Fault::default()),
    Entry::new("accepts cleartext without being asked", |_| Fault::start(|start| start.allow.push("cleartext".into()))),
    Entry::new("accepts tls_anon without being asked", |_| Fault::start(|start| start.allow.push("tls_anon".into()))),
    Entry::new("makes up a secret where it was told none", |_| {
        Fault::start(|start| {
            start.secret.get_or_insert_with(|| "made up".into());
        })
    }),
    Entry::new("has no limits", |_| Fault::start(|start| start.limits = Limits::default())),
    Entry::new("lets a handshake take forever", |_| Fault::start(|start| start.timeouts.handshake = FOREVER)),
    Entry::new("waits forever for a silent peer", |_| Fault::start(|start| start.timeouts.silence = FOREVER)),
    Entry::new("connects forever", |_| Fault::start(|start| start.timeouts.connect = FOREVER)),
    Entry::new("takes plain connections in spite of its certificate", |_| Fault::start(|start| start.plain = true)),
    Entry::new("does not bind certificates to names", |_| Fault::start(|start| start.bind_names = false)),
    Entry::new("forgets further secrets", |_| Fault::start(|start| start.further_secrets.clear())),
    Entry::new("is not secure", |_| Fault::start(|start| start.secure = false)),
    Entry::new("is secure without being asked", |_| Fault::start(|start| start.secure = true)),
    Entry::new("does not connect to its seeds", |_| Fault::start(|start| start.seeds.clear())),
    Entry::new("is always global", |_| Fault::start(|start| start.global = true)),
    Entry::new("receives json only", |_| Fault::start(|start| start.framings = vec!["json".into()])),
];

//! What may whom do? One table: roles across, permissions down.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::Type;
use utoipa::openapi::{ObjectBuilder, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

macro_rules! named {
    ($(#[$meta:meta])* $type:ident, $what:literal, { $($(#[doc = $doc:literal])+ $name:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $type {
            $($(#[doc = $doc])+ #[serde(rename = $text)] $name,)+
        }

        impl $type {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// Its name in tokens, answers and files.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// A sentence on it.
            #[must_use]
            pub const fn description(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+).trim_ascii_start(),)+ }
            }
        }

        impl PartialSchema for $type {
            fn schema() -> RefOr<Schema> {
                let names = Self::ALL.iter().map(|one| one.name());
                let text = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names));
                Schema::Object(text.build()).into()
            }
        }

        impl ToSchema for $type {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed(stringify!($type))
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }

        impl FromStr for $type {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                let names = || Self::ALL.iter().map(|one| one.name()).collect::<Vec<_>>().join(", ");
                let found = Self::ALL.iter().copied().find(|one| one.name() == text);
                found.ok_or_else(|| format!(concat!("`{}` is no ", $what, "; one of {} is"), text, names()))
            }
        }
    };
}

named! {
    /// What an account is for.
    Role, "role", {
        /// Everything, accounts and keys included.
        Admin = "admin",
        /// Runs the box: policies, wire, block list, flows. No accounts, no keys.
        Operator = "operator",
        /// Reads everything that the box knows, changes nothing.
        Analyst = "analyst",
        /// A user of the network: sees to the own account.
        Employee = "employee",
        /// A user of the network from outside the house: sees to the own account.
        Contractor = "contractor",
        /// A program: reads telemetry and flows, asks for verdicts.
        Service = "service",
    }
}

named! {
    /// What a call needs.
    Permission, "permission", {
        /// See to the own account: password, sessions, tickets.
        OwnAccount = "account:own",
        /// Read telemetry and metrics.
        TelemetryRead = "telemetry:read",
        /// Read live events.
        EventsRead = "events:read",
        /// Read flows, protocols and applications.
        DpiRead = "dpi:read",
        /// Have captures looked into.
        DpiClassify = "dpi:classify",
        /// End flows.
        DpiWrite = "dpi:write",
        /// Read policies.
        PolicyRead = "policy:read",
        /// Ask for the verdict on a context.
        PolicyEvaluate = "policy:evaluate",
        /// Change policies.
        PolicyWrite = "policy:write",
        /// Read who is where.
        IdentityRead = "identity:read",
        /// Say who is where.
        IdentityWrite = "identity:write",
        /// Read the block list and the state of the wire.
        WireRead = "wire:read",
        /// Change the block list, bypass the box.
        WireWrite = "wire:write",
        /// Read the configuration and the log's level.
        SystemRead = "system:read",
        /// Change the log's level, have files read again, drain the box.
        SystemWrite = "system:write",
        /// Read who is told of events.
        WebhooksRead = "webhooks:read",
        /// Change who is told of events.
        WebhooksWrite = "webhooks:write",
        /// Read accounts, roles and sessions of others.
        AccountsRead = "accounts:read",
        /// Change accounts, end sessions of others.
        AccountsWrite = "accounts:write",
        /// Rotate the keys that sign.
        KeysWrite = "keys:write",
        /// Read who changed what.
        AuditRead = "audit:read",
    }
}

impl Role {
    /// The table.
    #[must_use]
    pub const fn permissions(self) -> &'static [Permission] {
        use Permission::{
            AccountsRead, AuditRead, DpiClassify, DpiRead, DpiWrite, EventsRead, IdentityRead, IdentityWrite,
            OwnAccount, PolicyEvaluate, PolicyRead, PolicyWrite, SystemRead, SystemWrite, TelemetryRead,
            WebhooksRead, WebhooksWrite, WireRead, WireWrite,
        };
        match self {
            Self::Admin => Permission::ALL,
            Self::Operator => &[
                OwnAccount,
                TelemetryRead,
                EventsRead,
                DpiRead,
                DpiClassify,
                DpiWrite,
                PolicyRead,
                PolicyEvaluate,
                PolicyWrite,
                IdentityRead,
                IdentityWrite,
                WireRead,
                WireWrite,
                SystemRead,
                SystemWrite,
                WebhooksRead,
                WebhooksWrite,
            ],
            Self::Analyst => &[
                OwnAccount,
                TelemetryRead,
                EventsRead,
                DpiRead,
                DpiClassify,
                PolicyRead,
                PolicyEvaluate,
                IdentityRead,
                WireRead,
                SystemRead,
                AccountsRead,
                AuditRead,
            ],
            Self::Employee | Self::Contractor => &[OwnAccount],
            Self::Service => &[OwnAccount, TelemetryRead, EventsRead, DpiRead, PolicyRead, PolicyEvaluate],
        }
    }

    /// Whether it is for users of the network, who see to their own account and to nothing else of the box.
    #[must_use]
    pub const fn is_of_network(self) -> bool {
        matches!(self, Self::Employee | Self::Contractor)
    }

    /// Whether the table has it.
    #[must_use]
    pub fn may(self, permission: Permission) -> bool {
        self.permissions().contains(&permission)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_admin_touches_accounts_and_keys() {
        for role in Role::ALL {
            let is_admin = *role == Role::Admin;
            assert_eq!(role.may(Permission::AccountsWrite), is_admin, "{role}");
            assert_eq!(role.may(Permission::KeysWrite), is_admin, "{role}");
            assert!(role.may(Permission::OwnAccount), "{role}");
            assert_eq!(role.permissions() == [Permission::OwnAccount], role.is_of_network(), "{role}");
        }
    }

    #[test]
    fn names_are_read_back() {
        for role in Role::ALL {
            assert_eq!(role.name().parse(), Ok(*role));
            assert!(role.description().ends_with('.'));
        }
        assert!("root".parse::<Role>().unwrap_err().contains("admin, operator"));
    }
}

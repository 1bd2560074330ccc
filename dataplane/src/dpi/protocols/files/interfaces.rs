//! What are well-known interfaces of DCE/RPC called, and their operations?
//!
//! Numbers are those of MS-NRPC 3.5.4, MS-DRSR 4.1, C706 appendix O (endpoint mapper), MS-SAMR 3.1.5, MS-SCMR 3.1.4,
//! MS-SRVS 3.1.4, MS-TSCH 3.2.5 and MS-WKST 3.2.4.

type Operations = &'static [(u16, &'static str)];

const KNOWN: &[(&[u8; 36], &str, Operations)] = &[
    (
        b"e1af8308-5d1f-11c9-91a4-08002b14a0fa",
        "epmapper",
        &[
            (0, "ept_insert"),
            (1, "ept_delete"),
            (2, "ept_lookup"),
            (3, "ept_map"),
            (4, "ept_lookup_handle_free"),
        ],
    ),
    (
        b"12345678-1234-abcd-ef00-01234567cffb",
        "netlogon",
        &[
            (2, "NetrLogonSamLogon"),
            (3, "NetrLogonSamLogoff"),
            (4, "NetrServerReqChallenge"),
            (5, "NetrServerAuthenticate"),
            (6, "NetrServerPasswordSet"),
            (15, "NetrServerAuthenticate2"),
            (20, "DsrGetDcName"),
            (21, "NetrLogonGetCapabilities"),
            (26, "NetrServerAuthenticate3"),
            (27, "DsrGetDcNameEx"),
            (29, "NetrLogonGetDomainInfo"),
            (30, "NetrServerPasswordSet2"),
            (31, "NetrServerPasswordGet"),
            (34, "DsrGetDcNameEx2"),
            (39, "NetrLogonSamLogonEx"),
            (42, "NetrServerTrustPasswordsGet"),
            (45, "NetrLogonSamLogonWithFlags"),
        ],
    ),
    (
        b"e3514235-4b06-11d1-ab04-00c04fc2dcd2",
        "drsuapi",
        &[
            (0, "DRSBind"),
            (1, "DRSUnbind"),
            (2, "DRSReplicaSync"),
            (3, "DRSGetNCChanges"),
            (4, "DRSUpdateRefs"),
            (5, "DRSReplicaAdd"),
            (6, "DRSReplicaDel"),
            (8, "DRSVerifyNames"),
            (9, "DRSGetMemberships"),
            (12, "DRSCrackNames"),
            (13, "DRSWriteSPN"),
            (16, "DRSDomainControllerInfo"),
            (17, "DRSAddEntry"),
        ],
    ),
    (
        b"12345778-1234-abcd-ef00-0123456789ac",
        "samr",
        &[
            (0, "SamrConnect"),
            (1, "SamrCloseHandle"),
            (5, "SamrLookupDomainInSamServer"),
            (6, "SamrEnumerateDomainsInSamServer"),
            (7, "SamrOpenDomain"),
            (13, "SamrEnumerateUsersInDomain"),
            (17, "SamrLookupNamesInDomain"),
            (34, "SamrOpenUser"),
            (36, "SamrQueryInformationUser"),
            (50, "SamrCreateUser2InDomain"),
            (58, "SamrSetInformationUser2"),
            (64, "SamrConnect5"),
        ],
    ),
    (
        b"12345778-1234-abcd-ef00-0123456789ab",
        "lsarpc",
        &[(0, "LsarClose"), (6, "LsarOpenPolicy"), (44, "LsarOpenPolicy2")],
    ),
    (
        b"367abb81-9844-35f1-ad32-98f038001003",
        "svcctl",
        &[
            (0, "RCloseServiceHandle"),
            (1, "RControlService"),
            (2, "RDeleteService"),
            (6, "RQueryServiceStatus"),
            (12, "RCreateServiceW"),
            (15, "ROpenSCManagerW"),
            (16, "ROpenServiceW"),
            (19, "RStartServiceW"),
        ],
    ),
    (
        b"4b324fc8-1670-01d3-1278-5a47bf6ee188",
        "srvsvc",
        &[
            (12, "NetrSessionEnum"),
            (15, "NetrShareEnum"),
            (16, "NetrShareGetInfo"),
            (21, "NetrServerGetInfo"),
        ],
    ),
    (b"6bffd098-a112-3610-9833-46c3f87e345a", "wkssvc", &[(0, "NetrWkstaGetInfo"), (2, "NetrWkstaUserEnum")]),
    (
        b"86d35949-83c9-4044-b424-db363231fd0c",
        "ITaskSchedulerService",
        &[(1, "SchRpcRegisterTask"), (12, "SchRpcRun"), (13, "SchRpcDelete")],
    ),
    (b"338cd001-2244-31f1-aaaa-900038001003", "winreg", &[]),
    (b"1ff70682-0a51-30e8-076d-740be8cee98b", "atsvc", &[(0, "NetrJobAdd"), (2, "NetrJobEnum")]),
    (b"12345678-1234-abcd-ef00-0123456789ab", "spoolss", &[]),
];

/// Name of the interface, and of its operation, where they are known.
pub(super) fn name(uuid: &[u8; 36], operation: u16) -> (Option<&'static str>, Option<&'static str>) {
    let Some((_, service, operations)) = KNOWN.iter().find(|(known, ..)| *known == uuid) else {
        return (None, None);
    };
    let procedure = operations.iter().find(|(number, _)| *number == operation).map(|(_, name)| *name);
    (Some(service), procedure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_is_named_by_its_interface() {
        let mapper = b"e1af8308-5d1f-11c9-91a4-08002b14a0fa";
        assert_eq!(name(mapper, 3), (Some("epmapper"), Some("ept_map")));
        assert_eq!(name(mapper, 300), (Some("epmapper"), None));
        assert_eq!(name(&[b'0'; 36], 3), (None, None));
    }
}

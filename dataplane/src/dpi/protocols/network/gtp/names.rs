//! What are GTP's messages and causes called? 3GPP TS 29.060 (version 1) 7.1 and 7.7.1, TS 29.281 (user plane) 6.1,
//! TS 29.274 (version 2) 6.1 and 8.4.

/// What a message is to another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// It wants an answer.
    Request,
    /// It answers a request of this kind.
    Answer(u8),
    /// Neither.
    Alone,
}

/// Name and role of a kind of message.
pub(super) fn message(version: u8, kind: u8) -> Option<(&'static str, Role)> {
    let pair = if version == 1 { pair_of_one } else { pair_of_two };
    let alone = if version == 1 { alone_of_one } else { alone_of_two };
    if let Some((request, _)) = pair(kind) {
        return Some((request, Role::Request));
    }
    // An answer's number is that of its request and one.
    let request = kind.checked_sub(1)?;
    match pair(request) {
        Some((_, answer)) => Some((answer, Role::Answer(request))),
        None => alone(kind).map(|name| (name, Role::Alone)),
    }
}

/// Names of a request and of its answer.
type Pair = (&'static str, &'static str);

const fn pair_of_one(request: u8) -> Option<Pair> {
    Some(match request {
        1 => ("echo_request", "echo_response"),
        4 => ("node_alive_request", "node_alive_response"),
        6 => ("redirection_request", "redirection_response"),
        16 => ("create_pdp_context_request", "create_pdp_context_response"),
        18 => ("update_pdp_context_request", "update_pdp_context_response"),
        20 => ("delete_pdp_context_request", "delete_pdp_context_response"),
        22 => ("initiate_pdp_context_activation_request", "initiate_pdp_context_activation_response"),
        27 => ("pdu_notification_request", "pdu_notification_response"),
        29 => ("pdu_notification_reject_request", "pdu_notification_reject_response"),
        32 => ("send_routeing_information_for_gprs_request", "send_routeing_information_for_gprs_response"),
        34 => ("failure_report_request", "failure_report_response"),
        36 => ("note_ms_gprs_present_request", "note_ms_gprs_present_response"),
        48 => ("identification_request", "identification_response"),
        50 => ("sgsn_context_request", "sgsn_context_response"),
        53 => ("forward_relocation_request", "forward_relocation_response"),
        56 => ("relocation_cancel_request", "relocation_cancel_response"),
        61 => ("ue_registration_query_request", "ue_registration_query_response"),
        96 => ("mbms_notification_request", "mbms_notification_response"),
        98 => ("mbms_notification_reject_request", "mbms_notification_reject_response"),
        100 => ("create_mbms_context_request", "create_mbms_context_response"),
        102 => ("update_mbms_context_request", "update_mbms_context_response"),
        104 => ("delete_mbms_context_request", "delete_mbms_context_response"),
        112 => ("mbms_registration_request", "mbms_registration_response"),
        114 => ("mbms_deregistration_request", "mbms_deregistration_response"),
        116 => ("mbms_session_start_request", "mbms_session_start_response"),
        118 => ("mbms_session_stop_request", "mbms_session_stop_response"),
        120 => ("mbms_session_update_request", "mbms_session_update_response"),
        128 => ("ms_info_change_notification_request", "ms_info_change_notification_response"),
        _ => return None,
    })
}

const fn alone_of_one(kind: u8) -> Option<&'static str> {
    Some(match kind {
        3 => "version_not_supported",
        26 => "error_indication",
        31 => "supported_extension_headers_notification",
        52 => "sgsn_context_acknowledge",
        55 => "forward_relocation_complete",
        58 => "forward_srns_context",
        59 => "forward_relocation_complete_acknowledge",
        60 => "forward_srns_context_acknowledge",
        70 => "ran_information_relay",
        253 => "tunnel_status",
        254 => "end_marker",
        255 => "g_pdu",
        _ => return None,
    })
}

const fn pair_of_two(request: u8) -> Option<Pair> {
    Some(match request {
        1 => ("echo_request", "echo_response"),
        32 => ("create_session_request", "create_session_response"),
        34 => ("modify_bearer_request", "modify_bearer_response"),
        36 => ("delete_session_request", "delete_session_response"),
        38 => ("change_notification_request", "change_notification_response"),
        40 => ("remote_ue_report_notification", "remote_ue_report_acknowledge"),
        95 => ("create_bearer_request", "create_bearer_response"),
        97 => ("update_bearer_request", "update_bearer_response"),
        99 => ("delete_bearer_request", "delete_bearer_response"),
        101 => ("delete_pdn_connection_set_request", "delete_pdn_connection_set_response"),
        128 => ("identification_request", "identification_response"),
        130 => ("context_request", "context_response"),
        133 => ("forward_relocation_request", "forward_relocation_response"),
        135 => ("forward_relocation_complete_notification", "forward_relocation_complete_acknowledge"),
        137 => ("forward_access_context_notification", "forward_access_context_acknowledge"),
        139 => ("relocation_cancel_request", "relocation_cancel_response"),
        149 => ("detach_notification", "detach_acknowledge"),
        153 => ("alert_mme_notification", "alert_mme_acknowledge"),
        155 => ("ue_activity_notification", "ue_activity_acknowledge"),
        158 => ("ue_registration_query_request", "ue_registration_query_response"),
        160 => ("create_forwarding_tunnel_request", "create_forwarding_tunnel_response"),
        162 => ("suspend_notification", "suspend_acknowledge"),
        164 => ("resume_notification", "resume_acknowledge"),
        166 => (
            "create_indirect_data_forwarding_tunnel_request",
            "create_indirect_data_forwarding_tunnel_response",
        ),
        168 => (
            "delete_indirect_data_forwarding_tunnel_request",
            "delete_indirect_data_forwarding_tunnel_response",
        ),
        170 => ("release_access_bearers_request", "release_access_bearers_response"),
        176 => ("downlink_data_notification", "downlink_data_notification_acknowledge"),
        179 => ("pgw_restart_notification", "pgw_restart_notification_acknowledge"),
        200 => ("update_pdn_connection_set_request", "update_pdn_connection_set_response"),
        211 => ("modify_access_bearers_request", "modify_access_bearers_response"),
        231 => ("mbms_session_start_request", "mbms_session_start_response"),
        233 => ("mbms_session_update_request", "mbms_session_update_response"),
        235 => ("mbms_session_stop_request", "mbms_session_stop_response"),
        _ => return None,
    })
}

const fn alone_of_two(kind: u8) -> Option<&'static str> {
    Some(match kind {
        3 => "version_not_supported",
        64 => "modify_bearer_command",
        65 => "modify_bearer_failure_indication",
        66 => "delete_bearer_command",
        67 => "delete_bearer_failure_indication",
        68 => "bearer_resource_command",
        69 => "bearer_resource_failure_indication",
        70 => "downlink_data_notification_failure_indication",
        71 => "trace_session_activation",
        72 => "trace_session_deactivation",
        73 => "stop_paging_indication",
        132 => "context_acknowledge",
        141 => "configuration_transfer_tunnel",
        152 => "ran_information_relay",
        _ => return None,
    })
}

/// The name of a cause, where it has a common one.
pub(super) const fn cause(version: u8, cause: u8) -> Option<&'static str> {
    Some(match (version, cause) {
        (1, 128) | (2, 16) => "request_accepted",
        (2, 17) => "request_accepted_partially",
        (2, 18) => "new_pdn_type_due_to_network_preference",
        (2, 19) => "new_pdn_type_due_to_single_address_bearer_only",
        (1, 192) => "non_existent",
        (1, 193) | (2, 65) => "invalid_message_format",
        (1, 194) => "imsi_imei_not_known",
        (1, 195) => "ms_is_gprs_detached",
        (1, 196) => "ms_is_not_gprs_responding",
        (1, 197) => "ms_refuses",
        (1, 198) => "version_not_supported",
        (1, 199) | (2, 73) => "no_resources_available",
        (1, 200) | (2, 68) => "service_not_supported",
        (1, 201) | (2, 69) => "mandatory_ie_incorrect",
        (1, 202) | (2, 70) => "mandatory_ie_missing",
        (1, 203) => "optional_ie_incorrect",
        (1, 204) | (2, 72) => "system_failure",
        (1, 205) => "roaming_restriction",
        (1, 209) | (2, 92) => "user_authentication_failed",
        (1, 210) | (2, 64) => "context_not_found",
        (1, 211) | (2, 84) => "all_dynamic_addresses_are_occupied",
        (1, 212) | (2, 91) => "no_memory_is_available",
        (1, 219) | (2, 78) => "missing_or_unknown_apn",
        (1, 220) => "unknown_pdp_address_or_pdp_type",
        (2, 67) => "invalid_length",
        (2, 87) => "ue_not_responding",
        (2, 88) => "ue_refuses",
        (2, 89) => "service_denied",
        (2, 93) => "apn_access_denied",
        (2, 94) => "request_rejected",
        (2, 96) => "imsi_imei_not_known",
        (2, 103) => "conditional_ie_missing",
        (2, 113) => "apn_congestion",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_know_their_requests() {
        assert_eq!(message(1, 17), Some(("create_pdp_context_response", Role::Answer(16))));
        assert_eq!(message(2, 32), Some(("create_session_request", Role::Request)));
        assert_eq!(message(2, 70).map(|(_, role)| role), Some(Role::Alone));
        assert_eq!((message(1, 0), message(2, 0), message(2, 255)), (None, None, None));
        // No kind is both in pairs and alone.
        for kind in 1..=255 {
            let one = [pair_of_one(kind), pair_of_one(kind - 1)].iter().flatten().count();
            assert!(one + usize::from(alone_of_one(kind).is_some()) <= 1, "{kind}");
            let two = [pair_of_two(kind), pair_of_two(kind - 1)].iter().flatten().count();
            assert!(two + usize::from(alone_of_two(kind).is_some()) <= 1, "{kind}");
        }
    }
}

"""The rules of the RFCs that bind a cooperative caching forwarder, and where each is shown.

A row is (RFC, section, rule in words, the tests that show it). Without a test: why the rule does
not apply here, or what is done in its place. A test is named "file::function"; file names are
unique in this project. `python -m tests.conformance.rules` writes TABLE.md anew.
"""

import sys
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parent))

from behaviours import BEHAVIOURS, SOURCES

TABLE = Path(__file__).with_name("TABLE.md")
RFCS = (
    1035, 2181, 2308, 3597, 4035, 5452, 5625, 6761, 6891, 7766, 8020, 8482, 8767, 8914, 9210, 9520,
)  # fmt: skip


class Rule(NamedTuple):
    rfc: int
    section: str
    words: str
    shown: tuple[str, ...] = ()
    why_not: str = ""


def row(rfc, section, words, *shown, why_not=""):
    return Rule(rfc, section, words, shown, why_not)


HERE = "test_conformance_rules.py::"
REFRESHED = (
    "test_node_cache.py::test_in_an_outage_a_name_in_use_is_refreshed_each_30_s_and_costs_one_wait"
)
PIPELINED = (
    "test_tcp_connection.py::"
    "test_pipelined_queries_are_handed_over_at_once_and_answered_out_of_order"
)

RULES = [
    # -- messages --------------------------------------------------------------------------------
    row(
        1035,
        "2.3.4",
        "labels have at most 63 octets, names at most 255",
        "test_wire_names.py::test_bad_names_are_neither_read_nor_skipped",
        "test_wire_query.py::test_the_longest_qname",
    ),
    row(
        1035,
        "2.3.3",
        "names are compared without regard to the case of letters; case is kept",
        "test_node_cache.py::test_udp_and_tcp_and_case_share_one_answer",
        "test_node_front.py::test_each_waiter_gets_its_own_id_case_and_edns",
    ),
    row(
        1035,
        "4.1.1",
        "the id of the query comes back; QR, RD, RA as meant",
        "test_node_front.py::test_flags_of_an_answer",
        "test_wire_build.py::test_flags_of_an_answer",
    ),
    row(
        1035,
        "4.1.1",
        "opcodes not implemented: NOTIMP; what cannot be read: FORMERR",
        "test_node_front.py::test_what_is_not_ours_is_refused",
        "test_wire_query.py::test_what_is_not_answered_in_earnest",
    ),
    row(
        1035,
        "4.1.4",
        "pointers lead back to a prior name; loops do not hang the reader",
        "test_wire_names.py::test_pointers_lead_strictly_back_to_names_within_bounds",
        "test_wire_names.py::test_a_chain_of_8000_pointers_costs_little_and_each_is_followed_once",
    ),
    row(
        1035,
        "4.2.1",
        "without EDNS, 512 octets over UDP and TC for more",
        "test_node_front.py::test_what_does_not_fit_leaves_as_tc_without_records",
    ),
    row(
        1035,
        "4.2.2",
        "over TCP two octets of length stand before a message",
        "test_wire_tcp.py::test_frames_have_their_length_in_front",
        "test_wire_tcp.py::test_pieces",
    ),
    row(
        1035,
        "7.3",
        "an answer with the right id for another question is none",
        "test_slave_exchange.py::test_forged_and_true_answers_cross",
    ),
    row(
        1035,
        "3.2.1",
        "a TTL of 0 is for the transaction at hand and is not cached",
        HERE + "test_ttl_0_is_given_and_not_kept",
    ),
    row(
        1035,
        "6",
        "authoritative data; zone transfers, of which there are none, are REFUSED",
        "test_node_front.py::test_what_is_not_ours_is_refused",
    ),
    row(
        1035,
        "7.2",
        "retransmission to the next server, with a limit on the work for one question",
        "test_node_local_path.py::test_tries_and_failover",
        "test_node_local_path.py::test_tries_go_round_and_end_with_the_client",
    ),
    row(
        2181,
        "4.1, 4.2",
        "the answer leaves from the address and port the query was sent to",
        "test_daemon.py::test_the_answer_comes_from_the_address_asked",
        "test_mmsg.py::test_a_wildcard_socket_answers_from_the_address_asked",
    ),
    row(
        2181,
        "5.2",
        "a set with different TTLs counts as its least; not made equal, as its receiver does that",
        HERE + "test_a_set_with_different_ttls_counts_as_its_least",
        HERE + "test_an_answer_is_kept_for_its_least_ttl",
    ),
    row(
        2181,
        "5.4.1",
        "additional data is never given as an answer",
        "test_wire_digest.py::test_the_additional_section_is_dropped_whatever_its_ttl",
        HERE + "test_what_was_not_asked_is_not_learned",
    ),
    row(
        2181,
        "8",
        "a TTL with the high bit set counts as 0",
        "test_wire_digest.py::test_a_ttl_with_the_high_bit_counts_as_0",
    ),
    row(
        2181,
        "9",
        "TC if what is required did not fit; such an answer is not cached",
        "test_wire_digest.py::test_truncated_responses_have_no_body",
        "test_slave_tcp.py::test_truncated_continues_over_tcp",
    ),
    row(
        2181,
        "10.1",
        "a CNAME is followed to where it leads; a ring ends",
        "test_wire_chain.py::test_chains",
        "test_wire_chain.py::test_a_ring_ends",
    ),
    row(
        2181,
        "11",
        "any octets may stand in a label, and only ASCII letters are folded (RFC 4343)",
        HERE + "test_names_are_any_octets_and_only_letters_are_folded",
        "test_wire_matches.py::test_a_label_with_zero_bytes",
    ),
    # -- negative answers ------------------------------------------------------------------------
    row(
        2308,
        "2.1",
        "NXDOMAIN behind a CNAME is of the last target",
        "test_node_cache.py::test_behind_a_cname_the_negative_answer_is_the_last_targets",
    ),
    row(
        2308,
        "3",
        "the TTL of a negative answer is the lesser of the SOA's TTL and MINIMUM",
        "test_node_cache.py::test_how_long_a_negative_answer_is_kept",
        "test_wire_digest.py::test_what_is_cached_of_a_negative_answer_ages_from_minimum",
    ),
    row(
        2308,
        "5",
        "NXDOMAIN is kept by name, NODATA by name and type",
        "test_node_cache.py::test_nxdomain_is_for_the_name_nodata_for_the_type",
    ),
    row(
        2308,
        "5",
        "a negative answer without SOA is not cached",
        "test_node_cache.py::test_a_negative_answer_without_soa_is_not_kept",
        "test_race_answers.py::test_a_denial_without_soa_is_not_told_even_while_failing",
    ),
    row(
        2308,
        "6",
        "cached negative answers are given with their SOA, counted down",
        HERE + "test_a_cached_denial_has_its_soa_counted_down",
    ),
    row(
        2308,
        "7.1",
        "server failures are kept for five minutes at most",
        HERE + "test_failures_are_kept_for_five_minutes_at_most",
    ),
    row(
        2308,
        "7.2",
        "that a server is dead is not remembered for ever: it is probed and comes back",
        "test_node_local_path.py::"
        "test_a_server_goes_down_after_three_silences_and_returns_with_a_probe",
    ),
    # -- unknown types, DNSSEC -------------------------------------------------------------------
    row(
        3597,
        "3",
        "records of unknown type pass byte for byte",
        "test_node_front.py::test_unknown_types_pass_byte_for_byte",
        "test_wire_query.py::test_unknown_types_pass",
    ),
    row(
        3597,
        "4",
        "names in RDATA are decompressed for known old types and for no other",
        "test_wire_rebuild.py::test_names_in_rdata_are_expanded_by_type",
    ),
    row(
        4035,
        "3.2.1",
        "DO goes to the nameserver as it came; its answer is kept apart from that without",
        "test_node_cache.py::test_do_cd_and_type_are_different_questions",
        "test_node_local_path.py::test_upstream_is_asked_with_our_own_edns",
    ),
    row(
        4035,
        "3.2.2",
        "CD is copied to the query upstream and to the answer",
        HERE + "test_cd_is_copied_to_the_answer_fresh_and_cached",
        "test_real_compare.py::test_bogus_is_servfail_unless_checking_is_disabled",
    ),
    row(
        4035,
        "3.2.3",
        "AD only if the nameserver set it (and the client wants it: RFC 6840 5.7)",
        "test_node_front.py::test_flags_of_an_answer",
        "test_race_answers.py::test_ad_counts_when_both_nodes_validate",
    ),
    row(
        4035,
        "5",
        "validation of signatures",
        why_not=(
            "Left to the nameserver: codns passes DO, CD and AD and never validates. A node "
            "whose nameserver validates asks only peers whose nameserver does (test_race_answers)."
        ),
    ),
    # -- forgery ---------------------------------------------------------------------------------
    row(
        5452,
        "9.1",
        "address, port, id and question of an answer match, or it is dropped",
        "test_slave_poisoning.py::test_one_wrong_field_is_enough",
        "test_wire_matches.py::test_matching",
        "test_wire_matches.py::test_one_byte_changed",
    ),
    row(
        5452,
        "9.2",
        "source ports from the whole range, several at once; ids of full range",
        "test_slave_ports.py::test_ports_and_ids_are_spread",
        "test_slave_poisoning.py::test_blind_guesses_succeed_no_oftener_than_computed",
    ),
    row(
        5452,
        "5",
        "equal questions are not outstanding many times (birthday attack)",
        "test_slave_poisoning.py::test_many_that_ask_the_same_are_one_exchange_for_each_form",
        "test_node_front.py::test_equal_questions_share_one_lookup_and_keep_their_own_deadlines",
    ),
    row(
        5452,
        "6",
        "only what belongs to the question is accepted",
        "test_wire_digest.py::test_records_off_the_chain_are_dropped",
        HERE + "test_what_was_not_asked_is_not_learned",
    ),
    row(
        5452,
        "9.3",
        "forgery that is noticed has a consequence: TCP",
        "test_slave_tcp.py::test_a_forged_name_goes_over_tcp",
    ),
    # -- proxies, special names ------------------------------------------------------------------
    row(
        5625,
        "4.1",
        "flags that are not understood do no harm; AD and CD pass",
        HERE + "test_the_reserved_bit_is_ignored_and_not_echoed",
        HERE + "test_cd_is_copied_to_the_answer_fresh_and_cached",
        "test_wire_build.py::test_flags_of_an_answer",
    ),
    row(
        5625,
        "4.2",
        "answers pass whether their names are compressed or not",
        HERE + "test_an_answer_without_compression_passes",
        "test_wire_rebuild.py::"
        "test_without_gaps_the_body_is_a_slice_and_with_gaps_names_are_expanded",
    ),
    row(
        5625,
        "4.3",
        "unknown types pass as they are",
        "test_node_front.py::test_unknown_types_pass_byte_for_byte",
    ),
    row(
        5625,
        "4.4.1",
        "what is too large reaches the client as TC; TCP is served and used",
        "test_node_front.py::test_what_does_not_fit_leaves_as_tc_without_records",
        "test_slave_tcp.py::test_truncated_continues_over_tcp",
        "test_daemon.py::test_udp_and_tcp_answer_and_share_the_cache",
    ),
    row(
        5625,
        "4.4.2",
        "EDNS sizes of clients are honoured up to 1,232, not to the 4,096 that should be: "
        "that leaves in fragments, and TCP is there",
        "test_wire_query.py::test_the_size_is_clamped",
        "test_node_front.py::test_what_does_not_fit_leaves_as_tc_without_records",
    ),
    row(
        5625,
        "4.5",
        "messages with TSIG pass unchanged",
        why_not=("Per hop here: a query with TSIG is REFUSED, as its id and size would change."),
    ),
    row(
        5625,
        "6.1",
        "ids and ports of a proxy are as hard to guess as a resolver's",
        "test_slave_ports.py::test_ports_and_ids_are_spread",
    ),
    row(
        5625,
        "6.2",
        "nobody outside the network served is answered; localhost only, unless told otherwise",
        HERE + "test_only_this_host_may_ask_unless_told_otherwise",
        "test_daemon.py::test_who_is_not_allowed_gets_silence",
        "test_acl.py::test_allows",
    ),
    row(
        6761,
        "6.3",
        "localhost and all below it are loopback, and never asked upstream",
        "test_node_front.py::test_special_names",
        "test_node_corners.py::test_a_foreign_cname_cannot_deny_localhost",
    ),
    row(
        6761,
        "6.4",
        "invalid does not exist, without asking anybody",
        "test_node_front.py::test_special_names",
    ),
    row(
        6761,
        "6.2, 6.5",
        "test and example are ordinary for a caching server that serves users",
        "test_node_front.py::test_all_other_names_are_ordinary",
    ),
    row(
        6761,
        "6.1",
        "reverse zones of private addresses",
        why_not=(
            "They are asked of the local nameserver, which knows whether they exist here, "
            "and never of peers (test_race_private)."
        ),
    ),
    # -- EDNS ------------------------------------------------------------------------------------
    row(
        6891,
        "6.1.1",
        "an OPT in the answer if and only if there was one in the query, refusals included",
        HERE + "test_our_own_refusals_have_an_opt_iff_the_query_had",
        "test_wire_build.py::test_an_answer_has_an_opt_iff_the_query_had",
        "test_node_front.py::test_the_client_gets_our_opt_if_it_sent_one",
    ),
    row(
        6891,
        "6.1.1",
        "more than one OPT: FORMERR",
        "test_node_front.py::test_what_is_not_ours_is_refused",
        "test_wire_query.py::test_what_is_not_answered_in_earnest",
    ),
    row(
        6891,
        "6.1.2",
        "options that are unknown are ignored, twice or once; what overruns its OPT is FORMERR",
        HERE + "test_unknown_options_are_ignored_and_stay_here",
        HERE + "test_an_option_that_comes_twice_does_no_harm",
        "test_wire_query.py::test_what_is_not_answered_in_earnest",
    ),
    row(
        6891,
        "6.1.3",
        "a version above 0: BADVERS",
        "test_node_front.py::test_what_is_not_ours_is_refused",
        "test_real_clients.py::test_dig_edns_version_1_is_badvers",
        "test_wire_query.py::test_what_is_not_answered_in_earnest",
    ),
    row(
        6891,
        "6.1.4",
        "flags of an OPT that are unknown are ignored, and zero in what leaves",
        HERE + "test_flags_of_an_opt_that_are_unknown_are_ignored_and_not_set",
    ),
    row(
        6891,
        "6.2.3",
        "sizes below 512 count as 512",
        "test_wire_query.py::test_the_size_is_clamped",
    ),
    row(
        6891,
        "6.2.6",
        "OPT is per hop: ours upstream, ours to the client, never theirs",
        "test_node_local_path.py::test_upstream_is_asked_with_our_own_edns",
        "test_node_front.py::test_the_client_gets_our_opt_if_it_sent_one",
        HERE + "test_an_ede_of_the_nameserver_changes_nothing",
    ),
    row(
        6891,
        "7",
        "a nameserver that knows no EDNS is asked without it",
        "test_slave_exchange.py::test_a_server_without_edns_is_asked_again",
    ),
    # -- TCP -------------------------------------------------------------------------------------
    row(
        7766,
        "5",
        "UDP and TCP are both served",
        "test_daemon.py::test_udp_and_tcp_answer_and_share_the_cache",
    ),
    row(
        7766,
        "5, 6.2.1",
        "an answer goes back on the connection that asked",
        "test_tcp_connection.py::"
        "test_pipelined_queries_are_handed_over_at_once_and_answered_out_of_order",
        "test_real_tcp.py::test_many_at_once",
    ),
    row(
        7766,
        "6.2.2",
        "few connections to one server",
        "test_slave_tcp.py::test_more_than_there_is_room_for_wait_their_turn",
        "test_late_tries.py::test_connections_to_a_dead_server_are_limited",
    ),
    row(
        7766,
        "6.2.4, 7",
        "a client matches id and question, and takes a closed connection for no answer",
        "test_slave_tcp.py::test_what_does_not_match_is_passed_over",
        "test_slave_tcp.py::test_closed_without_an_answer",
    ),
    row(
        7766,
        "6.2.1.1",
        "queries may be pipelined; answers may leave in any order",
        PIPELINED,
    ),
    row(
        7766,
        "6.2.1",
        "an id in flight is not used twice",
        "test_tcp_connection.py::test_an_id_in_flight_is_not_used_twice",
    ),
    row(
        7766,
        "6.2.3",
        "idle connections end after seconds; part of a message is no activity",
        "test_tcp_timeouts.py::test_patience",
    ),
    row(
        7766,
        "6.2.4",
        "after a half close the answers still come",
        "test_tcp_connection.py::test_after_a_half_close_outstanding_answers_still_come",
    ),
    row(
        7766,
        "8",
        "length and message leave in one write",
        "test_tcp_connection.py::test_answers_ready_together_leave_in_one_send",
    ),
    row(
        7766,
        "9",
        "TCP Fast Open",
        why_not=("Optional; it would give a spoofer the first answer for nothing."),
    ),
    # -- what may be concluded ------------------------------------------------------------------
    row(
        8020,
        "2",
        "NXDOMAIN of a name means that nothing is below it: not concluded here, "
        "as unsigned it would let one forged denial deny a zone (it is a SHOULD)",
        HERE + "test_nxdomain_says_nothing_of_names_below",
    ),
    row(
        8482,
        "4.1",
        "ANY may be answered with one RRset over UDP",
        "test_node_front.py::test_any_over_udp_is_the_first_rrset_over_tcp_the_whole",
        "test_wire_digest.py::test_the_first_rrset_is_enough_for_any",
    ),
    row(
        8020,
        "2",
        "NXDOMAIN is of the name, whatever type was asked for",
        "test_node_cache.py::test_nxdomain_is_for_the_name_nodata_for_the_type",
    ),
    row(
        8767,
        "4",
        "stale answers have a TTL above 0, 30 s or what they had",
        "test_node_cache.py::test_stale_ttl_is_30_s_at_most_and_nxdomain_says_so",
        "test_node_cache.py::test_the_first_client_waits_1_8_s_for_stale_data_the_next_ones_not",
    ),
    row(
        8767,
        "4",
        "what had a TTL of 0 is not given stale",
        HERE + "test_ttl_0_is_not_given_stale_either",
    ),
    row(
        8767,
        "4",
        "a TTL that is too long is capped: a day, or `cache.max_ttl`",
        "test_node_cache.py::test_how_long_a_positive_answer_is_kept",
    ),
    row(
        8767,
        "4",
        "other rcodes than NOERROR and NXDOMAIN do not refresh, and leave the old data",
        "test_node_cache.py::test_a_failed_refresh_gives_stale_at_once",
        "test_conformance_forwarders.py::test_a_prefetch_that_fails_harms_no_answer_that_is_fresh",
    ),
    row(
        8767,
        "4",
        "no stale data for who did not ask for recursion",
        "test_node_front.py::test_a_query_without_rd_is_answered_from_the_fresh_cache_only",
    ),
    row(
        8767,
        "5",
        "1.8 s for the first client, then stale; resolving goes on",
        HERE + "test_resolving_goes_on_after_a_stale_answer",
        "test_node_cache.py::test_the_first_client_waits_1_8_s_for_stale_data_the_next_ones_not",
    ),
    row(
        8767,
        "5",
        "an attempt to refresh no more often than every 30 s",
        REFRESHED,
    ),
    row(
        8767,
        "5",
        "stale data ends after its time",
        "test_node_cache.py::test_stale_data_ends_and_a_refresh_replaces_it",
        "test_node_cache.py::test_too_old_is_not_served_stale",
    ),
    row(
        8767,
        "4",
        "any fresh answer ends a stale one",
        "test_node_corners.py::test_an_answer_that_is_not_kept_ends_a_stale_one_all_the_same",
        "test_node_cache.py::test_an_answer_ends_the_names_nxdomain_and_the_other_way_round",
    ),
    row(
        8914,
        "2",
        "an EDE is an option of our own OPT, so only clients with EDNS get it",
        HERE + "test_without_edns_no_reason_is_given",
        "test_wire_build.py::test_extended_errors",
    ),
    row(
        8914,
        "3",
        "the reason leaves an answer that is too large before its records do",
        "test_wire_build.py::test_what_does_not_fit_leaves_truncated",
    ),
    row(
        8914,
        "4.14",
        "13: a failure that is remembered",
        "test_node_cache.py::test_a_failure_is_remembered_for_5_s_then_twice_as_long",
    ),
    row(
        8914,
        "4.4, 4.20",
        "3 and 19 tell of stale answers",
        "test_node_cache.py::test_the_first_client_waits_1_8_s_for_stale_data_the_next_ones_not",
        "test_node_cache.py::test_stale_ttl_is_30_s_at_most_and_nxdomain_says_so",
    ),
    row(
        8914,
        "4.21, 4.23, 4.24",
        "20, 22 and 23: not asked for recursion, silence, network error",
        "test_node_local_path.py::test_a_failure_says_why",
        "test_node_front.py::test_a_query_without_rd_is_answered_from_the_fresh_cache_only",
    ),
    row(
        8914,
        "1",
        "an EDE of others changes nothing in how an answer is taken",
        HERE + "test_an_ede_of_the_nameserver_changes_nothing",
    ),
    row(
        9210,
        "3",
        "TCP is served like UDP",
        "test_real_tcp.py::test_many_at_once",
        "test_daemon.py::test_udp_and_tcp_answer_and_share_the_cache",
    ),
    row(
        9210,
        "4.2",
        "connections are limited in all and by address, and counted",
        "test_tcp_admission.py::test_admission",
    ),
    row(
        9210, "4.3", "an idle timeout of about ten seconds", "test_tcp_timeouts.py::test_patience"
    ),
    row(
        9520,
        "3.1",
        "at most three queries for a name to one server",
        "test_node_local_path.py::test_three_tries_a_server_and_no_more",
    ),
    row(
        9520,
        "3.2",
        "failures are cached, at least 1 s, at most 5 min, and longer each time",
        "test_node_cache.py::test_a_failure_is_remembered_for_5_s_then_twice_as_long",
        HERE + "test_failures_are_kept_for_five_minutes_at_most",
    ),
    row(
        9520,
        "3.2",
        "the cache of failures is bounded",
        HERE + "test_failures_that_are_kept_are_bounded",
    ),
    row(
        9520,
        "3.2",
        "a cached failure causes no query to those who failed",
        "test_node_cache.py::test_a_failure_is_remembered_for_5_s_then_twice_as_long",
        "test_race_answers.py::test_a_local_failure_that_is_remembered_is_one_that_came_at_once",
    ),
    row(
        9520,
        "3.2",
        "silence is a failure to be cached too",
        why_not=(
            "Silence of every nameserver is a state of the path here, not of the name: the path "
            "is judged failing, asked by probes and every eighth lookup; a name that came back "
            "is not denied for seconds (test_node_cache.py::test_a_timeout_is_not_remembered)."
        ),
    ),
]


def rendered() -> str:
    lines = [
        "# Rules of the RFCs and the tests that show them",
        "",
        "Made by `python -m tests.conformance.rules`; a test keeps it up to date.",
        "",
        "| RFC | Section | Rule | Shown by, or why it does not apply |",
        "|---|---|---|---|",
    ]
    for rule in RULES:
        shown = "<br>".join(f"`{test}`" for test in rule.shown) or rule.why_not
        lines.append(f"| {rule.rfc} | {rule.section} | {rule.words} | {shown} |")
    lines += [
        "",
        "# What other forwarders' public tests state",
        "",
        *SOURCES.splitlines(),
        "",
        "| Behaviour | Stated by | Shown by, or why it does not apply |",
        "|---|---|---|",
    ]
    for each in BEHAVIOURS:
        shown = "<br>".join(f"`{test}`" for test in each.shown)
        right = "<br>".join(part for part in (shown, each.why_not) if part)
        lines.append(f"| {each.words} | {', '.join(each.stated)} | {right} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    TABLE.write_text(rendered())

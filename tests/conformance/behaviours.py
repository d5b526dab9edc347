"""What the public tests of other forwarders state of a forwarder, and where that is shown here.

A row is (behaviour in words, who states it, the tests that show it, and why it does not apply or
what differs). The suites were read for behaviours; nothing of them is copied. "unbound
fwd_cached" is testdata/fwd_cached.rpl, "coredns cache" plugin/cache, "dnsproxy" AdguardTeam's,
"resolved" TEST-75-RESOLVED, "deckard" knot-resolver's scenarios.
"""

from typing import NamedTuple

SOURCES = """\
Looked through, by titles and scenarios, and read where a title leaves it open: unbound
(`testdata/*.rpl` with forward or stub zones, serve-expired, TTLs), CoreDNS (`plugin/forward`,
`plugin/cache`, `plugin/loop`), PowerDNS dnsdist (`regression-tests.dnsdist`), AdGuard dnsproxy
(`proxy`, `upstream`), systemd-resolved (`TEST-75-RESOLVED`); of knot-resolver's scenarios
(deckard) what is not recursion. dnsmasq has no public tests in its repository. The behaviours are
told in our words."""


class Behaviour(NamedTuple):
    words: str
    stated: tuple[str, ...]
    shown: tuple[str, ...]
    why_not: str


def states(words, *stated, shown=(), but=""):
    return Behaviour(words, stated, tuple(shown), but)


HERE = "test_conformance_forwarders.py::"
RULES = "test_conformance_rules.py::"
CACHE = "test_node_cache.py::"
FRONT = "test_node_front.py::"
LOCAL = "test_node_local_path.py::"
CORNERS = "test_node_corners.py::"

BEHAVIOURS = [
    # -- passing on, caching --------------------------------------------------------------------
    states(
        "a question is passed on and its answer comes back",
        "unbound fwd",
        shown=[LOCAL + "test_an_answer_goes_to_the_client_when_it_comes"],
    ),
    states(
        "asked again, it is answered from the cache, over UDP and TCP",
        "unbound fwd_cached",
        "dnsdist Caching",
        "dnsproxy ServeCached",
        shown=[CACHE + "test_udp_and_tcp_and_case_share_one_answer"],
        but="dnsdist keeps UDP and TCP apart; here an entry serves both.",
    ),
    states(
        "another type, DO or CD is another question",
        "unbound fwd_notcached",
        "coredns CacheSeparation",
        "dnsdist DOCached",
        "dnsproxy CacheDO",
        shown=[CACHE + "test_do_cd_and_type_are_different_questions"],
    ),
    states(
        "AD in the query makes no other entry; the answer has it for who asked",
        "coredns CacheADBitNotPartitioned",
        shown=[HERE + "test_who_wants_ad_and_who_does_not_share_an_answer"],
    ),
    states(
        "TTLs count down, and an answer is gone when they are over",
        "unbound ttl_msg",
        "dnsdist CacheExpiration",
        "dnsproxy CacheExpiration",
        shown=[
            CACHE + "test_served_ttl_is_the_original_less_whole_seconds_of_age",
            CACHE + "test_gone_when_its_age_reaches_the_ttl",
        ],
    ),
    states(
        "in its last second an answer is not given with a TTL of 0",
        "unbound ttl_zero_cacherep",
        shown=[
            CACHE + "test_served_ttl_is_the_original_less_whole_seconds_of_age",
            CACHE + "test_gone_when_its_age_reaches_the_ttl",
        ],
    ),
    states(
        "the least TTL of a chain counts; additional records' do not",
        "dnsdist CacheExpirationDifferentSets",
        "dnsproxy CacheCNAME",
        shown=[
            RULES + "test_an_answer_is_kept_for_its_least_ttl",
            "test_wire_digest.py::test_the_additional_section_is_dropped_whatever_its_ttl",
        ],
    ),
    states(
        "configured least and greatest TTLs hold for positive and negative answers",
        "unbound ttl_max, ttl_min, ttl_max_negative",
        "coredns ComputeTTL",
        "dnsproxy CacheExpirationWithTTLOverride",
        shown=[
            CACHE + "test_how_long_a_positive_answer_is_kept",
            CACHE + "test_how_long_a_negative_answer_is_kept",
        ],
    ),
    states(
        "an answer with TTL 0 is given and not kept",
        "coredns CacheZeroTTL",
        "unbound serve_expired_zerottl",
        shown=[RULES + "test_ttl_0_is_given_and_not_kept"],
    ),
    states(
        "ANY is answered, and cached",
        "unbound fwd_any",
        shown=[FRONT + "test_any_over_udp_is_the_first_rrset_over_tcp_the_whole"],
        but="Over UDP with its first set (RFC 8482).",
    ),
    states(
        "what was used least recently leaves a full cache",
        "unbound fwd_lrudrop",
        shown=[CACHE + "test_the_least_recently_used_leave_first"],
    ),
    states(
        "answers leave without what was not asked for (additional records)",
        "unbound fwd_minimal",
        shown=["test_wire_digest.py::test_the_additional_section_is_dropped_whatever_its_ttl"],
        but="Authority stays: it is what a negative answer is kept by.",
    ),
    states(
        "an empty TC=1 from the nameserver is not cached; it is asked over TCP",
        "dnsdist EmptyTruncated",
        "dnsproxy plainDNS_fallbackToTCP",
        shown=[
            "test_wire_digest.py::test_truncated_responses_have_no_body",
            "test_slave_tcp.py::test_truncated_continues_over_tcp",
        ],
    ),
    states(
        "zone transfers are not cached, and refused",
        "dnsdist AXFRResponse, IXFRResponse",
        "unbound refuse_xfr",
        shown=[FRONT + "test_what_is_not_ours_is_refused"],
    ),
    states(
        "a question that is cached and near its end is refreshed beforehand, once",
        "unbound iter_prefetch",
        "coredns Prefetch, PrefetchDedup",
        shown=[
            CACHE + "test_a_hit_in_the_last_tenth_refreshes_in_the_background",
            CORNERS + "test_a_prefetch_that_brings_nothing_is_not_repeated_at_once",
        ],
    ),
    states(
        "a refresh that fails harms no answer that is fresh",
        "unbound iter_prefetch_fail",
        "coredns ServfailDoesNotShadowPositiveCache",
        shown=[HERE + "test_a_prefetch_that_fails_harms_no_answer_that_is_fresh"],
    ),
    states(
        "answers for a client's subnet are not given to others",
        "dnsdist EdnsClientSubnet",
        "dnsproxy getWithSubnet",
        shown=[FRONT + "test_ecs_goes_up_and_is_neither_kept_nor_joined"],
        but="They are not cached by subnet either.",
    ),
    states(
        "a forward zone may be kept out of the cache",
        "unbound fwd_no_cache",
        "dnsdist SkipCache",
        but="No such setting; `cache.max_ttl` is for all names.",
    ),
    # -- negative answers -----------------------------------------------------------------------
    states(
        "NXDOMAIN is for every type of the name",
        "unbound stop_nxdomain",
        shown=[CACHE + "test_nxdomain_is_for_the_name_nodata_for_the_type"],
        but="Not for the names below it: see RFC 8020 above.",
    ),
    states(
        "a negative answer without SOA is not kept",
        "dnsproxy IsCacheable_negative",
        shown=[CACHE + "test_a_negative_answer_without_soa_is_not_kept"],
    ),
    states(
        "an alias with nothing behind it but a SOA is NODATA",
        "coredns CNAMEWithSOAStoredAsNODATA",
        shown=[CORNERS + "test_nodata_behind_a_cname_is_negative"],
    ),
    states(
        "an old denial does not stand before a newer answer",
        "coredns NegativeStaleMaskingPositiveCache",
        shown=[CACHE + "test_an_answer_ends_the_names_nxdomain_and_the_other_way_round"],
    ),
    # -- failures -------------------------------------------------------------------------------
    states(
        "SERVFAIL of the only nameserver reaches the client",
        "unbound fwd_error",
        shown=[LOCAL + "test_tries_and_failover"],
    ),
    states(
        "SERVFAIL of one nameserver has the next one asked",
        "unbound fwd_error_retries",
        "dnsproxy Fallback",
        shown=[LOCAL + "test_tries_and_failover"],
        but="Each server once for a failing answer: the same one is not asked again for it.",
    ),
    states(
        "silence of one has the next one asked after a while",
        "unbound fwd_timeout, fwd_two",
        shown=[LOCAL + "test_tries_and_failover"],
    ),
    states(
        "when all nameservers have been tried it ends, without a busy loop",
        "coredns ForwardFailoverStopsAfterAllUpstreams, NoBusyLoop",
        shown=[
            LOCAL + "test_three_tries_a_server_and_no_more",
            LOCAL + "test_tries_go_round_and_end_with_the_client",
        ],
    ),
    states(
        "a nameserver that is silent is taken out, probed, and comes back",
        "coredns Health, HealthMaxFails",
        "dnsdist HealthChecks",
        shown=[LOCAL + "test_a_server_goes_down_after_three_silences_and_returns_with_a_probe"],
    ),
    states(
        "if all are down they are asked all the same",
        "coredns AllUpstreamsDown",
        shown=[LOCAL + "test_all_down_are_asked_all_the_same"],
    ),
    states(
        "SERVFAIL is remembered for seconds, then asked for anew",
        "unbound serve_expired_cached_servfail",
        shown=[CACHE + "test_a_failure_is_remembered_for_5_s_then_twice_as_long"],
    ),
    states(
        "an answer with TTL 0 ends a remembered SERVFAIL",
        "unbound fwd_0ttlservfail, serve_expired_0ttl_servfail",
        shown=[HERE + "test_an_answer_of_ttl_0_ends_a_remembered_failure"],
    ),
    states(
        "FORMERR and other rcodes are never kept as answers",
        "coredns FormErr",
        "dnsproxy uncacheable",
        shown=[HERE + "test_no_other_rcode_is_kept_as_an_answer"],
    ),
    states(
        "NODATA may have the next nameserver asked",
        "coredns NextOnNodata",
        but="An option there; here NODATA is an answer.",
    ),
    # -- stale answers --------------------------------------------------------------------------
    states(
        "with the nameserver silent an expired answer is given after the client's time, EDE 3",
        "unbound serve_expired_client_timeout",
        "coredns ServeFromStaleCacheFetchVerifyTimeout",
        "resolved 11_nft",
        shown=[CACHE + "test_the_first_client_waits_1_8_s_for_stale_data_the_next_ones_not"],
    ),
    states(
        "a quick fresh answer is given in place of an expired one",
        "coredns ServeFromStaleCacheFetchVerify",
        shown=[CACHE + "test_stale_data_ends_and_a_refresh_replaces_it"],
    ),
    states(
        "SERVFAIL upon a refresh gives the expired answer at once",
        "unbound serve_expired_client_timeout_servfail",
        shown=[CACHE + "test_a_failed_refresh_gives_stale_at_once"],
    ),
    states(
        "an expired answer has a short TTL, no longer than its own was",
        "unbound serve_expired_reply_ttl",
        "coredns ServeFromStaleCacheResponseTTL",
        shown=[CACHE + "test_the_first_client_waits_1_8_s_for_stale_data_the_next_ones_not"],
    ),
    states(
        "what expired too long ago is not given",
        "unbound serve_expired_ttl",
        "coredns ServeFromStaleCache",
        shown=[CACHE + "test_too_old_is_not_served_stale"],
    ),
    states(
        "an answer with TTL 0 ends an expired denial",
        "unbound serve_expired_0ttl_nodata, serve_expired_0ttl_nxdomain",
        shown=[HERE + "test_an_answer_of_ttl_0_ends_an_expired_denial"],
    ),
    states(
        "NXDOMAIN takes an expired answer's place, and is given stale with EDE 19",
        "resolved 11_nft",
        shown=[
            HERE + "test_an_expired_answer_does_not_come_back_as_a_denial_and_the_other_way_round"
        ],
    ),
    states(
        "after a failed refresh the next one waits; who asks meanwhile has the expired answer",
        "coredns ServeStaleFailureRecheckImmediate",
        shown=[
            CACHE + "test_in_an_outage_a_name_in_use_is_refreshed_each_30_s_and_costs_one_wait"
        ],
    ),
    # -- what may be asked, forged, broken ------------------------------------------------------
    states(
        "a message that is a response gets no answer",
        "dnsproxy ResponseInRequest",
        shown=[FRONT + "test_what_is_no_query_gets_silence"],
    ),
    states(
        "malformed queries (two OPTs, no question) are FORMERR",
        "dnsproxy ServeDNS_formatError",
        shown=[FRONT + "test_what_is_not_ours_is_refused"],
    ),
    states(
        "an answer to another name or type is not taken, nor kept",
        "coredns Spoof",
        shown=["test_slave_exchange.py::test_forged_and_true_answers_cross"],
    ),
    states(
        "an answer with a wrong id is not taken",
        "dnsproxy plainDNS_badID",
        shown=["test_slave_poisoning.py::test_one_wrong_field_is_enough"],
    ),
    states(
        "an answer without its question does no harm",
        "dnsproxy ReplyFromUpstream_badResponse",
        shown=["test_wire_matches.py::test_matching"],
        but="It is not taken.",
    ),
    states(
        "an answer with broken records is no answer, over UDP and TCP",
        "dnsdist BrokenAnswer",
        shown=[
            "test_slave_exchange.py::test_malformed_records_are_formerr",
            "test_wire_digest.py::test_malformed_responses",
        ],
    ),
    states(
        "records out of bailiwick are not learned",
        "deckard iter_escape_bailiwick",
        shown=[RULES + "test_what_was_not_asked_is_not_learned"],
    ),
    states(
        "without RD what is not cached is REFUSED, EDE 20",
        "unbound ede_cache_snoop_not_auth",
        shown=[FRONT + "test_a_query_without_rd_is_answered_from_the_fresh_cache_only"],
    ),
    states(
        "who is not allowed is REFUSED with EDE 18",
        "unbound ede_acl_refused",
        shown=["test_daemon.py::test_who_is_not_allowed_gets_silence"],
        but="Here with silence: a refusal goes to whoever was spoofed.",
    ),
    states(
        "localhost is answered here, A and AAAA",
        "resolved 12_resolvectl2",
        shown=[FRONT + "test_special_names"],
    ),
    # -- EDNS -----------------------------------------------------------------------------------
    states(
        "what is answered here has an OPT if the query had one, DO as it came, no options",
        "dnsdist EDNSSelfGenerated",
        shown=[
            RULES + "test_our_own_refusals_have_an_opt_iff_the_query_had",
            "test_wire_build.py::test_replies_to_what_did_not_parse",
        ],
    ),
    states(
        "options that come twice do no harm",
        "unbound edns_nsid_repeat",
        shown=[RULES + "test_an_option_that_comes_twice_does_no_harm"],
    ),
    states(
        "a client's cookie is answered with one",
        "unbound edns_downstream_cookies",
        "dnsproxy Cookie",
        shown=[HERE + "test_a_query_with_a_cookie_is_answered_without_one"],
        but="Cookies are not spoken (RFC 7873 is optional); the query is answered without.",
    ),
    states(
        "the idle timeout is told to clients that ask for it",
        "unbound edns_keepalive",
        but="RFC 7828 is optional and not spoken; the option is ignored.",
    ),
    # -- load, TCP, loops -----------------------------------------------------------------------
    states(
        "equal questions at once are one query upstream, each answered under its own id",
        "dnsproxy PendingRequests",
        shown=[
            HERE + "test_a_hundred_equal_questions_are_one_query",
            FRONT + "test_each_waiter_gets_its_own_id_case_and_edns",
        ],
    ),
    states(
        "with too many questions in flight the newest is dropped",
        "unbound fwd_droptoomany, fwd_jostle",
        shown=[FRONT + "test_lookups_are_bounded"],
        but="It is told SERVFAIL. Older ones are not pushed out for it (fwd_jostle_out).",
    ),
    states(
        "over TCP answers leave in any order, queries may be pipelined",
        "dnsdist OOOR",
        shown=[
            (
                "test_tcp_connection.py::"
                "test_pipelined_queries_are_handed_over_at_once_and_answered_out_of_order"
            )
        ],
    ),
    states(
        "TCP connections are limited by address, idle ones end",
        "dnsdist TCPLimits",
        shown=["test_tcp_admission.py::test_admission", "test_tcp_timeouts.py::test_patience"],
    ),
    states(
        "a loop through the nameserver is found",
        "coredns Loop",
        "dnsproxy RecursionDetector",
        shown=[
            FRONT + "test_a_nameserver_that_leads_back_here_is_not_used",
            "test_daemon.py::test_a_nameserver_that_leads_back_here_is_found",
        ],
        but="The nameserver is left out; CoreDNS ends the process.",
    ),
    states(
        "a domain may have nameservers of its own, with all below it",
        "dnsproxy GetUpstreamsForDomain",
        "unbound fwd_two",
        shown=[LOCAL + "test_zones_have_nameservers_of_their_own"],
    ),
    states(
        "a reload keeps what is cached and takes new nameservers",
        "resolved 12_resolvectl2",
        shown=[
            CACHE + "test_reload_keeps_the_cache",
            CORNERS + "test_new_nameservers_start_with_a_clean_slate",
        ],
    ),
]

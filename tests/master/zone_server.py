"""A nameserver for the fleet's names: records of a zone's text, UDP and TCP, with moods."""

import socket
import threading
from contextlib import closing

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

WAIT_S = 20.0


class ZoneServer:
    """Answers from `records`, lines of "name TTL type data", in a thread.

    Moods, changed at any time: `silent` says nothing, `rcode` is all it says, `beside` adds the
    addresses of SRV targets, `truncates` makes UDP answers empty with TC set, `liar` sends an
    answer to another question first. `asked` are (transport, name, type).
    """

    def __init__(self, records=(), address="127.0.0.1"):
        self.set_records(records)
        self.silent = False
        self.rcode = None
        self.broken = set()  # names that get SERVFAIL
        self.beside = True
        self.truncates = False
        self.liar = False
        self.asked = []
        while True:
            self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._udp.bind((address, 0))
            port = self._udp.getsockname()[1]
            try:
                self._tcp = socket.create_server((address, port))
                break
            except OSError:  # somebody has the same port for TCP
                self._udp.close()
        self.text = f"{address}:{port}"
        self.server = f"{address}#{port}"
        self._threads = [threading.Thread(target=t) for t in (self._serve_udp, self._serve_tcp)]
        for thread in self._threads:
            thread.start()

    def set_records(self, lines):
        data = {}
        for line in lines:
            name, ttl, rdtype, *words = line.split()
            data.setdefault((name, int(ttl), rdtype), []).append(" ".join(words))
        self.records = {
            (dns.name.from_text(name), rdtype): dns.rrset.from_text(
                name, ttl, "IN", rdtype, *texts
            )
            for (name, ttl, rdtype), texts in data.items()
        }

    def _respond(self, wire, transport):
        query = dns.message.from_wire(wire)
        question = query.question[0]
        rdtype = dns.rdatatype.to_text(question.rdtype)
        self.asked.append((transport, question.name.to_text(), rdtype))
        response = dns.message.make_response(query, recursion_available=True)
        if self.rcode is not None or question.name.to_text() in self.broken:
            response.set_rcode(self.rcode or dns.rcode.SERVFAIL)
            return response
        if transport == "udp" and self.truncates:
            response.flags |= dns.flags.TC
            return response
        name = question.name
        while (name, rdtype) not in self.records and (name, "CNAME") in self.records:
            alias = self.records[name, "CNAME"]
            response.answer.append(alias)
            name = alias[0].target
        found = self.records.get((name, rdtype))
        if found is not None:
            response.answer.append(found)
        elif not any(known == name for known, _ in self.records):
            response.set_rcode(dns.rcode.NXDOMAIN)
        if rdtype == "SRV" and self.beside and found is not None:
            for target in {rdata.target for rdata in found}:
                response.additional += [
                    self.records[target, t] for t in ("A", "AAAA") if (target, t) in self.records
                ]
        return response

    def _serve_udp(self):
        while True:
            wire, source = self._udp.recvfrom(4096)
            if not wire:
                return
            response = self._respond(wire, "udp")
            if self.silent:
                continue
            if self.liar:
                for wrong in (b"\0" * 12, b"nonsense", self._wrong(response)):
                    self._udp.sendto(wrong, source)
            self._udp.sendto(response.to_wire(max_size=65535), source)

    @staticmethod
    def _wrong(response):
        other = dns.message.make_query("evil.example.", "A", id=response.id)
        return dns.message.make_response(other).to_wire()

    def _serve_tcp(self):
        while True:
            stream, _ = self._tcp.accept()
            with closing(stream), stream.makefile("rwb") as file:
                size = int.from_bytes(file.read(2), "big")
                if not size:
                    return
                response = self._respond(file.read(size), "tcp").to_wire(max_size=65535)
                if not self.silent:
                    file.write(len(response).to_bytes(2, "big") + response)

    def close(self):
        self._udp.sendto(b"", self._udp.getsockname())
        with socket.create_connection(self._tcp.getsockname()) as stream:
            stream.sendall(b"\0\0")
        for thread in self._threads:
            thread.join(WAIT_S)
        self._udp.close()
        self._tcp.close()

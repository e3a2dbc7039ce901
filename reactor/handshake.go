package reactor

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// What ends handshakes of accepted connections, as ListenerStats has it.
const (
	causeNoCertificate = iota // the listener has none for the client
	causeVersion              // of TLS
	causeNoCommon             // no cipher, signature or application protocol that both have
	causeClientCert           // the client's certificate is missing, or was refused
	causeRejected             // the client's alert, such as of a certificate that it does not trust
	causeNotTLS               // what came is no record of TLS
	causeWentAway
	causeTimeout
	causeOther
	causes // how many there are
)

// causeNames are the words for them, for metrics.
var causeNames = [causes]string{ // never changed
	"no_certificate", "version", "no_common", "client_certificate", "rejected", "not_tls", "went_away", "timeout",
	"other",
}

// Alerts (RFC 8446, section 6) that say what crypto/tls's errors say in words alone.
const (
	alertRecord              = 21 // the type of a record
	alertHandshakeFailure    = 40
	alertBadCertificate      = 42
	alertProtocolVersion     = 70
	alertUnrecognizedName    = 112
	alertCertificateRequired = 116
	alertNoApplication       = 120
)

// handshakes counts a listener's handshakes that have failed, and tells of some. Any loop.
type handshakes struct {
	failed [causes]atomic.Uint64
	seldom
}

// seldom bounds what is logged of failures that clients cause. Any loop.
type seldom struct {
	mu    sync.Mutex
	told  time.Duration // when the last one was logged; 0 = never
	quiet uint64        // failed since, and not logged
}

// stats are the counts that are not 0, by cause; nil = there is none.
func (h *handshakes) stats() map[string]uint64 {
	var counts map[string]uint64
	for n := range h.failed {
		if count := h.failed[n].Load(); count > 0 {
			if counts == nil {
				counts = map[string]uint64{}
			}
			counts[causeNames[n]] = count
		}
	}
	return counts
}

// mayTell tells whether a failure may be logged now, one each refusalLog, and how many
// were not in between.
func (h *seldom) mayTell(now time.Duration) (quiet uint64, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.told != 0 && now-h.told < refusalLog {
		h.quiet++
		return 0, false
	}
	quiet, h.quiet, h.told = h.quiet, 0, now
	return quiet, true
}

// noteHandshake counts the end of a connection whose handshake was not over, where that
// is not what this side wanted.
func (c *connection) noteHandshake(reason Reason, err error) {
	if reason != Timeout && reason != Lost && reason != TLSFailure {
		return
	}
	cause := handshakeCause(reason, err, c.tls.pipe.sentAlert())
	h := &c.listener.handshakes
	h.failed[cause].Add(1)
	if cause == causeWentAway { // load balancers look in like that, every few seconds
		return
	}
	if quiet, ok := h.mayTell(c.loop.sys.Now()); ok {
		c.loop.r.log.Info("a TLS handshake failed", "endpoint", c.listener.ep.String(), "peer", c.Peer(),
			"cause", causeNames[cause], "err", short(err), "others_since", quiet)
	}
}

// noteRecord tells of a connection that ended because a record was refused, by either side.
func (c *connection) noteRecord(err error) {
	if !c.loop.r.log.IsDebug() {
		return
	}
	if quiet, ok := c.listener.records.mayTell(c.loop.sys.Now()); ok {
		c.loop.r.log.Debug("a TLS record was refused", "endpoint", c.listener.ep.String(), "peer", c.Peer(),
			"err", short(err), "others_since", quiet)
	}
}

// handshakeCause is why a handshake failed. alert is the one that was sent in plain text;
// 0 = none.
func handshakeCause(reason Reason, err error, alert byte) int {
	var record tls.RecordHeaderError
	var unverified *tls.CertificateVerificationError
	var op *net.OpError
	switch {
	case reason == Timeout:
		return causeTimeout
	case reason == Lost, errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		return causeWentAway
	case errors.As(err, &record):
		return causeNotTLS
	case errors.As(err, &op) && op.Op == "remote error":
		return causeRejected
	case errors.As(err, &unverified), strings.HasSuffix(err.Error(), "client didn't provide a certificate"):
		// The latter has no type, and in TLS 1.3 its alert is encrypted. A test pins it.
		return causeClientCert
	}
	switch alert {
	case alertUnrecognizedName:
		return causeNoCertificate
	case alertProtocolVersion:
		return causeVersion
	case alertHandshakeFailure, alertNoApplication:
		return causeNoCommon
	case alertBadCertificate, alertCertificateRequired:
		return causeClientCert
	}
	return causeOther
}

// maxHandshakeText is how much of a failure's text is logged: clients have a part in it.
const maxHandshakeText = 200

// short is an error on one line, cut.
func short(err error) string {
	if err == nil {
		return ""
	}
	text := err.Error()
	if len(text) > maxHandshakeText {
		text = text[:maxHandshakeText] + "…"
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
}

// noteAlert remembers an alert among the handshake's records that is not encrypted.
func (p *pipe) noteAlert(records []byte) {
	for len(records) >= recordHeader {
		n := recordHeader + recordSize(records)
		if records[0] == alertRecord && n == 7 && len(records) >= n {
			p.alert = records[6]
		}
		records = records[min(n, len(records)):]
	}
}

// sentAlert is the last alert that the handshake has sent in plain text; 0 = none.
func (p *pipe) sentAlert() byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.alert
}

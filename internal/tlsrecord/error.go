package tlsrecord

import (
	"crypto/tls"
	"fmt"
)

// Alerts, RFC 8446, 6.
const (
	closeNotify       = 0
	unexpectedMessage = 10
	badRecordMAC      = 20
	recordOverflow    = 22
	illegalParameter  = 47
	decodeError       = 50
	protocolVersion   = 70
	internalError     = 80
	userCanceled      = 90

	warning = 1
	fatal   = 2
)

// Error is why a connection is over that no close_notify ended. It unwraps to
// the [tls.AlertError] that stands for it.
type Error struct {
	Alert  uint8  // the alert's code
	Remote bool   // the peer sent the alert; else it is ours to send
	What   string // what was found, and what is allowed
}

func (e *Error) Error() string {
	if e.Remote {
		return fmt.Sprintf("the peer ended TLS with alert %d: %v", e.Alert, tls.AlertError(e.Alert))
	}
	return fmt.Sprintf("%s (alert %d)", e.What, e.Alert)
}

// Unwrap is the alert as crypto/tls names it.
func (e *Error) Unwrap() error { return tls.AlertError(e.Alert) }

func refuse(alert uint8, format string, args ...any) *Error {
	return &Error{Alert: alert, What: fmt.Sprintf(format, args...)}
}

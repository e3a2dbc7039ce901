package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/internal/lines"
)

// Problem is an answer that says what is wrong (RFC 9457).
type Problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
	// Faults are all that is wrong, one a line, where it is more than Detail.
	Faults []string `json:"faults,omitempty"`
	// Running is the version that is active after a change that failed, "" where
	// there is none.
	Running string `json:"running,omitempty"`
}

// Error is Detail: what was found and what was wanted.
func (p *Problem) Error() string { return p.Detail }

// problemBase is where the problems are described: README.md has a heading for
// each.
const problemBase = "https://github.com/wirehost/wirehost/blob/main/host/admin/README.md#"

// kind is a problem's type, title and status.
type kind struct {
	name, title string
	status      int
}

var ( // never changed
	kindBadRequest   = kind{"bad-request", "The request can't be read", http.StatusBadRequest}
	kindUnauthorized = kind{"unauthorized", "The request does not say whose it is", http.StatusUnauthorized}
	kindForbidden    = kind{"forbidden", "The request may come from a web page", http.StatusForbidden}
	kindNoRoute      = kind{"not-found", "There is nothing under this path", http.StatusNotFound}
	kindMethod       = kind{"method-not-allowed", "The path does not take this method", http.StatusMethodNotAllowed}
	kindUnknown      = kind{"unknown-plugin", "No such plugin, version or listener", http.StatusNotFound}
	kindNoConnection = kind{"unknown-connection", "No such connection", http.StatusNotFound}
	kindChanging     = kind{"changing", "Another change is under way", http.StatusConflict}
	kindLoaded       = kind{"loaded", "The plugin is loaded already", http.StatusConflict}
	kindProfiling    = kind{"profiling", "A profile of the plugin runs already", http.StatusConflict}
	kindOtherActive  = kind{"version-mismatch", "Another version is active", http.StatusPreconditionFailed}
	kindTooLarge     = kind{"too-large", "The request is too large", http.StatusRequestEntityTooLarge}
	kindMediaType    = kind{"media-type", "The request is not JSON", http.StatusUnsupportedMediaType}
	kindRefused      = kind{"refused", "The change is refused; what ran before runs on", http.StatusUnprocessableEntity}
	kindInternal     = kind{"internal", "The host failed", http.StatusInternalServerError}
	kindNotRunning   = kind{"not-running", "The host is starting or ending", http.StatusServiceUnavailable}
	kindNotReady     = kind{"not-ready", "The host is not ready", http.StatusServiceUnavailable}
)

// kinds are all of them.
func kinds() []kind {
	return []kind{
		kindBadRequest, kindUnauthorized, kindForbidden, kindNoRoute, kindMethod, kindUnknown, kindNoConnection,
		kindChanging, kindLoaded, kindProfiling, kindOtherActive, kindTooLarge, kindMediaType, kindRefused,
		kindInternal, kindNotRunning, kindNotReady,
	}
}

// problem makes one.
func (k kind) problem(format string, args ...any) *Problem {
	return &Problem{Type: problemBase + k.name, Title: k.title, Status: k.status, Detail: fmt.Sprintf(format, args...)}
}

// problemOf is what an error of the Host means to who asked. other is the kind
// of an error that has no meaning of its own.
func problemOf(err error, other kind) *Problem {
	var p *Problem
	if errors.As(err, &p) {
		return p
	}
	k := other
	switch {
	case errors.Is(err, host.ErrChanging):
		k = kindChanging
	case errors.Is(err, host.ErrLoaded):
		k = kindLoaded
	case errors.Is(err, host.ErrProfiling):
		k = kindProfiling
	case errors.Is(err, host.ErrUnknown):
		k = kindUnknown
	case errors.Is(err, host.ErrNoConnection):
		k = kindNoConnection
	case errors.Is(err, host.ErrNotRunning), errors.Is(err, context.Canceled):
		k = kindNotRunning
	}
	p = k.problem("")
	p.Faults = faults(err)
	p.Detail = strings.Join(p.Faults, "; ")
	if len(p.Faults) == 1 {
		p.Faults = nil
	}
	return p
}

// faults are an error's messages, one for each fault.
func faults(err error) []string {
	var list []string
	for _, f := range lines.Faults(err) {
		list = append(list, f.Error())
	}
	return list
}

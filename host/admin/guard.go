package admin

import (
	"net"
	"net/http"
	"strings"
	"time"
)

// guard is before every route. On TCP it keeps out what a web page can make a
// browser send: a Host that is not ours comes from a name that was made to
// resolve to this machine (DNS rebinding), an Origin that is not ours from a
// page of another server, and a change without a JSON content type from a form,
// which can't have one (https://fetch.spec.whatwg.org, "no-cors").
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		if r.ContentLength != 0 {
			// The body must arrive in time, where it is read and where the server
			// throws it away. Not every ResponseWriter has deadlines: those of tests don't.
			_ = http.NewResponseController(w).SetReadDeadline(began.Add(s.ioTime))
		}
		if p := s.intruder(r); p != nil {
			s.logIntruder(r, p)
			if p.Status == http.StatusUnauthorized {
				w.Header().Set("WWW-Authenticate", "Bearer")
			}
			s.reply(w, r, nil, p)
			return
		}
		next.ServeHTTP(w, r)
		s.log.Debug("request", "method", r.Method, "path", r.URL.Path, "took", time.Since(began))
	})
}

// logIntruder says that a request was refused, at most once a second, and how many
// were in between: a web page may make as many as it likes.
func (s *Server) logIntruder(r *http.Request, p *Problem) {
	now := time.Now().UnixNano()
	last := s.refusedAt.Load()
	if now-last < int64(time.Second) || !s.refusedAt.CompareAndSwap(last, now) {
		s.refusedMore.Add(1)
		return
	}
	args := []any{"method", cut(r.Method), "path", cut(r.URL.Path), "why", cut(p.Detail)}
	if more := s.refusedMore.Swap(0); more > 0 {
		args = append(args, "more_before", more)
	}
	s.log.Warn("a request was refused", args...)
}

// intruder says why a request is not one of an administrator's, or nothing.
func (s *Server) intruder(r *http.Request) *Problem {
	if r.Context().Value(ownKey{}) != nil {
		return nil
	}
	if s.o.Authority == "" {
		return forwarded(r)
	}
	if p := s.stranger(r); p != nil {
		return p
	}
	if r.TLS == nil && !s.ours(r.Host) { // by TLS a browser knows whom it asks
		return kindForbidden.problem("found the Host %q, wanted %s", r.Host, s.o.Authority)
	}
	// A page's GET has no Origin, and a profile is one: browsers of these years say where it is from.
	if p := otherSite(r); p != nil {
		return p
	}
	for _, origin := range r.Header.Values("Origin") {
		authority, ok := strings.CutPrefix(origin, "http://")
		if ok = ok && s.ours(authority); r.TLS != nil {
			ok = origin == "https://"+r.Host
		}
		if !ok {
			return kindForbidden.problem("found the Origin %q, wanted none or http://%s", origin, s.o.Authority)
		}
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead && r.Method != http.MethodDelete && !isJSON(r) {
		return kindMediaType.problem("found Content-Type %q, wanted application/json, even without a body",
			r.Header.Get("Content-Type"))
	}
	return nil
}

// otherSite says that a page of another server has a browser ask, or nothing.
func otherSite(r *http.Request) *Problem {
	if site := r.Header.Get("Sec-Fetch-Site"); site == "cross-site" || site == "same-site" {
		return kindForbidden.problem("found Sec-Fetch-Site: %s, wanted none, or a page of this server", site)
	}
	return nil
}

// forwarded says why a request on a Unix socket may come from a web page, or nothing. A
// browser reaches one where somebody has forwarded a port to it, as ssh -L does, to look at
// the page; then any page that the browser shows can try to. The port is not known here, so
// what asks must name no host of the net, and a page must be of the host that it asks.
func forwarded(r *http.Request) *Problem {
	name, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		name = strings.Trim(r.Host, "[]")
	}
	if ip := net.ParseIP(name); strings.Contains(name, ".") && ip == nil || ip != nil && !ip.IsLoopback() {
		return kindForbidden.problem("found the Host %q, wanted a name without a dot, such as wirehost, or one of "+
			"loopback",
			r.Host)
	}
	if p := otherSite(r); p != nil {
		return p
	}
	for _, origin := range r.Header.Values("Origin") {
		if origin != "http://"+r.Host {
			return kindForbidden.problem("found the Origin %q, wanted none or http://%s", origin, r.Host)
		}
	}
	return nil
}

// ours tells whether an authority, HOST:PORT, is the address listened on or
// another name of the machine's loopback. The port must be the one listened on.
func (s *Server) ours(authority string) bool {
	_, port, err := net.SplitHostPort(s.o.Authority)
	if err != nil {
		return false
	}
	host, p, err := net.SplitHostPort(authority)
	if err != nil { // port 80 may be left out
		host, p = strings.Trim(authority, "[]"), "80"
	}
	if p != port {
		return false
	}
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

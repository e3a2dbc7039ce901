package admin

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/internal/changes"
)

// The bodies of answers. Lists stand in an object, so that more can be said
// beside them one day.
type (
	pluginList struct {
		Plugins []host.PluginInfo `json:"plugins"`
	}
	listenerList struct {
		Listeners    []host.ListenerInfo    `json:"listeners"`
		Certificates []host.CertificateInfo `json:"certificates"`
		More         bool                   `json:"more"` // guests have more
	}
)

// The bodies of requests. That of a load is a plugin's section: see
// config.ParsePlugin.
type (
	reloadRequest struct {
		Force bool `json:"force"`
	}
	useRequest struct {
		Version string `json:"version"`
	}
	traceRequest struct {
		Connection string `json:"connection"` // its ID; "" = all of the plugin
	}
)

func (s *Server) listPlugins(http.ResponseWriter, *http.Request) (*answer, error) {
	list, err := s.o.Host.Plugins()
	if err != nil {
		return nil, err
	}
	return &answer{body: pluginList{orEmpty(list)}}, nil
}

func (s *Server) getPlugin(_ http.ResponseWriter, r *http.Request) (*answer, error) {
	info, err := s.o.Host.Plugin(r.PathValue("name"))
	if err != nil {
		return nil, err
	}
	return &answer{body: info, etag: info.Active}, nil
}

func (s *Server) listListeners(_ http.ResponseWriter, r *http.Request) (*answer, error) {
	values := r.URL.Query()
	if err := knownParameters(values, "limit"); err != nil {
		return nil, err
	}
	most, err := limitOf(values)
	if err != nil {
		return nil, err
	}
	guests, more := s.o.Host.GuestSockets(most)
	list := append(s.o.Host.ListenerInfos(), guests...)
	return &answer{body: listenerList{orEmpty(list), orEmpty(s.o.Host.Certificates()), more}}, nil
}

// orEmpty is list, which JSON writes as [] and not null.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func (s *Server) loadPlugin(w http.ResponseWriter, r *http.Request) (*answer, error) {
	name := r.PathValue("name")
	text, err := s.readBody(w, r)
	if err != nil {
		return nil, err
	}
	cfg, listeners, err := config.ParsePlugin("body", name, text)
	if err != nil {
		p := kindBadRequest.problem("")
		p.Faults = faults(err)
		p.Detail = strings.Join(p.Faults, "; ")
		return nil, p
	}
	save, err := s.toSave(r)
	if err != nil {
		return nil, err
	}
	change, err := s.o.Host.LoadPlugin(asking(r), name, cfg, listeners...)
	s.o.Metrics.loaded(err)
	if err != nil {
		return nil, s.failed(r, "load", name, err)
	}
	if err := s.save(save, name); err != nil {
		return nil, err
	}
	a := &answer{status: http.StatusCreated, body: change, at: "/v1/plugins/" + name}
	if info, err := s.o.Host.Plugin(name); err == nil { // it may be gone again
		a.etag = info.Active
	}
	return a, nil
}

func (s *Server) unloadPlugin(_ http.ResponseWriter, r *http.Request) (*answer, error) {
	name := r.PathValue("name")
	save, err := s.toSave(r)
	if err != nil {
		return nil, err
	}
	return s.conditional(r, name, func() (*answer, error) {
		change, err := s.o.Host.UnloadPlugin(asking(r), name)
		s.o.Metrics.unloaded(err)
		if err != nil {
			return nil, s.failed(r, "unload", name, err)
		}
		if err := s.save(save, name); err != nil {
			return nil, err
		}
		return &answer{body: change}, nil
	})
}

func (s *Server) reloadPlugin(w http.ResponseWriter, r *http.Request) (*answer, error) {
	var req reloadRequest
	if err := s.body(w, r, &req); err != nil {
		return nil, err
	}
	name, ctx := r.PathValue("name"), asking(r)
	if len(r.Header.Values("If-Match")) > 0 {
		ctx = changes.AtOnce(ctx) // the change that is waited for may make the condition false
	}
	return s.conditional(r, name, func() (*answer, error) {
		out, err := s.o.Host.ReloadPlugin(ctx, name, req.Force)
		return s.changed(r, "reload", name, out, err)
	})
}

func (s *Server) usePlugin(w http.ResponseWriter, r *http.Request) (*answer, error) {
	var req useRequest
	if err := s.body(w, r, &req); err != nil {
		return nil, err
	}
	name := r.PathValue("name")
	if !strings.HasPrefix(req.Version, name+"@") {
		return nil, kindBadRequest.problem(
			"version: found %q, wanted a version of this plugin, such as %s@0123456789ab", req.Version, name)
	}
	return s.conditional(r, name, func() (*answer, error) {
		if _, err := s.o.Host.Plugin(name); err != nil {
			return nil, err
		}
		out, err := s.o.Host.UsePlugin(asking(r), req.Version)
		return s.changed(r, "use", name, out, err)
	})
}

func (s *Server) tracePlugin(w http.ResponseWriter, r *http.Request) (*answer, error) {
	var req traceRequest
	if err := s.body(w, r, &req); err != nil {
		return nil, err
	}
	name := r.PathValue("name")
	conn, err := tracedConnection(name, req.Connection)
	if err != nil {
		return nil, err
	}
	return s.trace(name, conn, true)
}

// tracedConnection is the handle of a connection's ID, 0 for none.
func tracedConnection(name, id string) (int32, error) {
	if id == "" {
		return 0, nil
	}
	plugin, text, _ := strings.Cut(id, "/")
	n, err := strconv.ParseInt(text, 10, 32)
	if plugin != name || err != nil || n < 1 {
		return 0, kindBadRequest.problem("connection: found %q, wanted a connection of this plugin, such as %s/1",
			id, name)
	}
	return int32(n), nil
}

func (s *Server) untracePlugin(_ http.ResponseWriter, r *http.Request) (*answer, error) {
	return s.trace(r.PathValue("name"), 0, false)
}

func (s *Server) trace(name string, conn int32, on bool) (*answer, error) {
	if err := s.o.Host.Trace(name, conn, on); err != nil {
		return nil, err
	}
	info, err := s.o.Host.Plugin(name)
	if err != nil {
		return nil, err
	}
	return &answer{body: info, etag: info.Active}, nil
}

func (s *Server) body(w http.ResponseWriter, r *http.Request, into any) error {
	text, err := s.readBody(w, r)
	if err != nil {
		return err
	}
	return parse(text, into)
}

// changed answers a change of a plugin's version.
func (s *Server) changed(r *http.Request, what, name string, out host.Outcome, err error) (*answer, error) {
	s.o.Metrics.Changed("admin", name, out, err)
	if err != nil {
		return nil, s.failed(r, what, name, err)
	}
	return &answer{body: out, etag: out.Version}, nil
}

// failed is the problem of a change that failed, which the log has too.
func (s *Server) failed(r *http.Request, what, name string, err error) error {
	p := problemOf(err, kindRefused)
	if info, err := s.o.Host.Plugin(name); err == nil {
		p.Running = info.Active
		if p.Type == problemBase+kindUnknown.name { // the plugin is there, so the version is not
			p.Type, p.Title, p.Status = problemBase+kindRefused.name, kindRefused.title, kindRefused.status
		}
	}
	if p.Status == kindRefused.status {
		for _, f := range loggedFaults(err) {
			s.log.Warn("a change was refused; what ran before runs on",
				append([]any{"change", what, "plugin", name, "err", f}, by(r).LogArgs()...)...)
		}
	}
	return p
}

// conditional makes a change, if the request's If-Match has the version that is
// active (RFC 9110, section 13.1.1). Of two requests with the same condition
// one finds it true: the other is told that a change is under way, or that
// another version is active.
func (s *Server) conditional(r *http.Request, name string, change func() (*answer, error)) (*answer, error) {
	values := r.Header.Values("If-Match")
	if len(values) == 0 {
		return change()
	}
	if _, busy := s.changes.LoadOrStore(name, true); busy {
		return nil, problemOf(host.ErrChanging, kindInternal)
	}
	defer s.changes.Delete(name)
	info, err := s.o.Host.Plugin(name)
	switch {
	case errors.Is(err, host.ErrUnknown):
		return nil, kindOtherActive.problem("plugin %s: found none, wanted a version of If-Match", name)
	case err != nil:
		return nil, err
	case !matches(values, info.Active):
		p := kindOtherActive.problem("plugin %s: found %s active, wanted one of If-Match: %s", name, etag(info.Active),
			cut(strings.Join(values, ", ")))
		p.Running = info.Active
		return nil, p
	}
	return change()
}

// etag is a version as an entity tag (RFC 9110, section 8.8.3).
func etag(version string) string { return `"` + version + `"` }

// matches tells whether an If-Match names a version. Weak tags never match.
func matches(values []string, version string) bool {
	for _, v := range values {
		for tag := range strings.SplitSeq(v, ",") { // no version has a comma
			if tag = strings.TrimSpace(tag); tag == "*" || tag == etag(version) {
				return true
			}
		}
	}
	return false
}

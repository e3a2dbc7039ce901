package admin

import (
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/internal/build"
)

// Status is how a server does, in a few lines.
type Status struct {
	Version     string    `json:"version"` // of the program; (devel) where Go stamped none
	Commit      string    `json:"commit"`  // "" = unknown
	PID         int       `json:"pid"`
	Config      string    `json:"config"` // the file; "" = none
	Since       time.Time `json:"since"`  // when administrators could first ask
	Uptime      float64   `json:"uptime_seconds"`
	Ready       bool      `json:"ready"`
	NotReady    string    `json:"not_ready,omitempty"` // why
	Overloaded  bool      `json:"overloaded"`
	Shed        uint64    `json:"connections_shed"` // ever: idle ones that were closed while overloaded
	Connections int       `json:"connections"`
	Opened      uint64    `json:"connections_opened"` // ever
	In          uint64    `json:"bytes_in"`           // ever
	Out         uint64    `json:"bytes_out"`          // ever
	Queued      uint64    `json:"bytes_queued"`
	Loops       int       `json:"loops"`
	Plugins     int       `json:"plugins"`
	Listeners   int       `json:"listeners"`
	// ReloadFailed is what was wrong when the configuration was read last, at
	// ReloadFailedAt; "" = nothing. Certificates are those that are not as their files.
	ReloadFailed   string                 `json:"reload_failed,omitempty"`
	ReloadFailedAt *time.Time             `json:"reload_failed_at,omitempty"`
	Certificates   []host.CertificateInfo `json:"certificates_refused,omitempty"`
}

func (s *Server) getStatus(http.ResponseWriter, *http.Request) (*answer, error) {
	st := Status{PID: os.Getpid(), Since: s.began, Uptime: time.Since(s.began).Seconds()}
	st.NotReady = s.o.Host.Unready()
	st.Ready = st.NotReady == ""
	program := build.Read()
	st.Version, st.Commit = program.Version, program.Commit
	st.Config, _ = s.o.Host.Origins()
	st.Overloaded, st.Shed = s.o.Host.Overload()
	if last := s.o.Metrics.lastReload(); !last.Well {
		st.ReloadFailed, st.ReloadFailedAt = last.why, &last.At
	}
	for _, c := range s.o.Host.Certificates() {
		if c.Err != "" || !c.Loaded {
			st.Certificates = append(st.Certificates, c)
		}
	}
	loops, err := s.o.Host.LoopInfos()
	if err != nil {
		return nil, err
	}
	for _, l := range loops {
		st.Connections += l.Connections
		st.Opened, st.In, st.Out, st.Queued = st.Opened+l.Opened, st.In+l.BytesIn, st.Out+l.BytesOut, st.Queued+l.Queued
	}
	st.Loops, st.Listeners = len(loops), len(s.o.Host.ListenerInfos())
	plugins, err := s.o.Host.Plugins()
	if err != nil {
		return nil, err
	}
	for _, p := range plugins {
		if p.State != host.StateUnloading {
			st.Plugins++
		}
	}
	return &answer{body: st}, nil
}

// setting is one value of the configuration that runs.
type setting struct {
	Key   string `json:"key"`   // dotted, as after --set
	Value string `json:"value"` // as JSON where it is no text, number or truth value
	// From is FILE:LINE, a variable, a flag, default, or run time: it was loaded.
	From string `json:"from"`
}

// settingList is the whole of it.
type settingList struct {
	File     string    `json:"file"` // "" = none
	Settings []setting `json:"settings"`
}

func (s *Server) listSettings(http.ResponseWriter, *http.Request) (*answer, error) {
	file, origins := s.o.Host.Origins()
	list := settingList{File: file, Settings: []setting{}}
	flatten("", visibleConfig(s.o.Host.Config()), func(key, value string) {
		from := origins[key]
		switch {
		case from != "":
		case atRunTime(key, origins):
			from = "run time"
		default:
			from = "default"
		}
		list.Settings = append(list.Settings, setting{key, value, from})
	})
	return &answer{body: list}, nil
}

// atRunTime tells whether a setting is of a plugin that no source has, and that is not
// built in.
func atRunTime(key string, origins map[string]string) bool {
	parts := strings.Split(key, ".")
	if len(parts) < 3 || parts[0] != "plugins" {
		return false
	}
	_, said := origins["plugins."+parts[1]+".module"]
	_, builtIn := config.Defaults().Plugins[parts[1]]
	return !said && !builtIn
}

// flatten tells each value of a tree, in the order of their names.
func flatten(at string, v any, tell func(key, value string)) {
	switch v := v.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			flatten(strings.TrimPrefix(at+"."+key, "."), v[key], tell)
		}
	case []any:
		if len(v) > 0 {
			if _, ok := v[0].(map[string]any); ok {
				for n, e := range v {
					flatten(at+"."+strconv.Itoa(n), e, tell)
				}
				return
			}
		}
		tell(at, asJSON(v))
	case string:
		tell(at, v)
	default:
		tell(at, asJSON(v))
	}
}

// asJSON is a value of a configuration, which always has JSON.
func asJSON(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

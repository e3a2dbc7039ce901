package host

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/wirehost/wirehost/host/config"
)

// slogged logs to a handler for JSON at a level, and gives what each entry has.
func slogged(level slog.Level) (log hclog.Logger, entries func() []map[string]any) {
	var out bytes.Buffer
	log = SlogLogger(slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: level, AddSource: true})))
	return log, func() (list []map[string]any) {
		for line := range strings.Lines(out.String()) {
			var e map[string]any
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				panic(err)
			}
			source := fmt.Sprint(e["source"])
			if !strings.Contains(source, "slog_test.go") && e["logger"] != "std" {
				e["bad source"] = source
			}
			delete(e, "source")
			delete(e, "time")
			list = append(list, e)
		}
		return list
	}
}

// TestSlogLogger: levels, names, keys and values arrive.
func TestSlogLogger(t *testing.T) {
	log, entries := slogged(levelTrace)
	log.Trace("t", "n", 1)
	log.With("plugin", "p").Named("reactor").Named("loop").Debug("d", "err", errors.New("bad"))
	log.Named("a").ResetNamed("b").Info("i", "odd")
	log.Warn("w", "text", hclog.Fmt("%d of %d", 1, 2), 3, true)
	log.Log(hclog.Error, "e")
	log.Log(hclog.Off, "nothing")
	log.Named("std").StandardLogger(&hclog.StandardLoggerOptions{ForceLevel: hclog.Warn}).Print("s")
	if _, err := io.WriteString(log.Named("std").StandardWriter(nil), "line\n"); err != nil {
		t.Error(err)
	}
	want := []map[string]any{
		{"level": "DEBUG-4", "msg": "t", "n": 1.0},
		{"level": "DEBUG", "msg": "d", "plugin": "p", "logger": "reactor.loop", "err": "bad"},
		{"level": "INFO", "msg": "i", "logger": "b", hclog.MissingKey: "odd"},
		{"level": "WARN", "msg": "w", "text": "1 of 2", "3": true},
		{"level": "ERROR", "msg": "e"},
		{"level": "WARN", "msg": "s", "logger": "std"},
		{"level": "INFO", "msg": "line", "logger": "std"},
	}
	got := entries()
	if len(got) != len(want) {
		t.Fatalf("found %v", got)
	}
	for n, e := range got {
		if !reflect.DeepEqual(e, want[n]) {
			t.Errorf("found %v, wanted %v", e, want[n])
		}
	}
	if with := log.With("a", 1).With("b", 2); !reflect.DeepEqual(with.ImpliedArgs(), []any{"a", 1, "b", 2}) {
		t.Errorf("found %v", with.ImpliedArgs())
	}
}

// TestSlogLevels: the handler says what is logged.
func TestSlogLevels(t *testing.T) {
	log, entries := slogged(slog.LevelWarn)
	log.SetLevel(hclog.Trace)
	log.Info("not this")
	log.Warn("this")
	if got := entries(); len(got) != 1 || got[0]["msg"] != "this" {
		t.Errorf("found %v", got)
	}
	if log.GetLevel() != hclog.Warn || log.IsTrace() || log.IsDebug() || log.IsInfo() || !log.IsWarn() ||
		!log.IsError() {
		t.Errorf("found the level %v", log.GetLevel())
	}
	if none, _ := slogged(slog.LevelError + 1); none.GetLevel() != hclog.Off {
		t.Errorf("found the level %v, wanted none", none.GetLevel())
	}
}

// TestSlogOfAHost: a host's own entries come with their fields.
func TestSlogOfAHost(t *testing.T) {
	log, entries := slogged(slog.LevelInfo)
	h, err := New(configuration(config.Plugin{Module: "testdata/echo.wasm"}), Options{Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := h.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	for _, e := range entries() {
		if e["msg"] == "loaded" {
			if e["plugin"] != "guest" || e["module"] != "testdata/echo.wasm" || e["level"] != "INFO" {
				t.Errorf("found %v", e)
			}
			return
		}
	}
	t.Errorf("found no such entry in %v", entries())
}

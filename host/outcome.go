package host

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/go-hclog"

	"github.com/wirehost/wirehost/host/config"
)

// Outcome says what became of a plugin's connections when it got another version.
type Outcome struct {
	Plugin    string              `json:"plugin"`
	Version   string              `json:"version"`            // the one that is active now
	Previous  string              `json:"previous,omitempty"` // the one that was replaced
	Unchanged bool                `json:"unchanged"`          // the same bytes and configuration: nothing was done
	Pinned    bool                `json:"pinned,omitempty"`   // the version is pinned; the configured module waits
	Policy    config.ReloadPolicy `json:"policy,omitempty"`   // migrate, drain or drop, as it was done
	Why       string              `json:"why,omitempty"`      // why the policy is not the configured one
	Migrated  int                 `json:"migrated"`           // connections
	Kept      map[string]int      `json:"kept,omitempty"`     // connections on the previous version, by reason
	Dropped   int                 `json:"dropped"`            // connections
	Canary    string              `json:"canary,omitempty"`   // that it saw no connection, where that is so
}

// String is one line for people.
func (o Outcome) String() string {
	if o.Unchanged {
		if o.Pinned {
			return fmt.Sprintf("%s is unchanged: it is pinned", o.Version)
		}
		return fmt.Sprintf("%s is unchanged", o.Version)
	}
	s := fmt.Sprintf("%s is active", o.Version)
	if o.Policy == "" {
		return s
	}
	s += fmt.Sprintf("; %s: migrated %d, dropped %d", o.Policy, o.Migrated, o.Dropped)
	for _, why := range slices.Sorted(maps.Keys(o.Kept)) {
		s += fmt.Sprintf(", kept %d on %s: %s", o.Kept[why], o.Previous, why)
	}
	if o.Canary != "" {
		s += "; " + o.Canary
	}
	return s
}

func (o Outcome) log(to hclog.Logger, by By) {
	if !o.Unchanged {
		to.Info("version is active", append([]any{"version", o.Version, "previous", o.Previous, "policy", o.Policy,
			"migrated", o.Migrated, "dropped", o.Dropped, "kept", o.kept()}, by.LogArgs()...)...)
	}
}

// kept says how many connections stay on the previous version, and why.
func (o Outcome) kept() string {
	if len(o.Kept) == 0 {
		return "0"
	}
	var parts []string
	for _, why := range slices.Sorted(maps.Keys(o.Kept)) {
		parts = append(parts, fmt.Sprintf("%d: %s", o.Kept[why], why))
	}
	return strings.Join(parts, "; ")
}

func (o *Outcome) keep(n int, why string) { keep(&o.Kept, n, why) }

// keep counts n connections that stay for a reason.
func keep(kept *map[string]int, n int, why string) {
	if n == 0 {
		return
	}
	if *kept == nil {
		*kept = map[string]int{}
	}
	if _, known := (*kept)[why]; !known && len(*kept) >= maxReasons {
		why = "other reasons"
	}
	(*kept)[why] += n
}

// maxReasons is how many reasons are told apart: their numbers are the guest's.
const maxReasons = 16

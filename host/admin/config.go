package admin

import (
	"fmt"
	"net/http"
	"reflect"
	"regexp"
	"strings"
	"time"
	"unicode"

	"github.com/wirehost/wirehost/host/config"
)

func (s *Server) getConfig(http.ResponseWriter, *http.Request) (*answer, error) {
	return &answer{body: visibleConfig(s.o.Host.Config())}, nil
}

func (s *Server) reloadConfig(w http.ResponseWriter, r *http.Request) (*answer, error) {
	if err := s.body(w, r, &struct{}{}); err != nil {
		return nil, err
	}
	change, err := s.o.Host.ReloadConfig(asking(r))
	s.o.Metrics.Configured("admin", change, err)
	if err != nil {
		for _, f := range loggedFaults(err) {
			s.log.Warn("the configuration was refused; what ran before runs on",
				append([]any{"err", f}, by(r).LogArgs()...)...)
		}
		return nil, problemOf(err, kindRefused)
	}
	return &answer{body: change}, nil
}

// hidden stands for a secret.
const hidden = "(hidden)"

// visibleConfig is a configuration for JSON: durations and sizes as they are
// written, and no secrets. A TLS key is named by its file, and shown; what a
// plugin's own section may hold is hidden by the names that secrets have.
func visibleConfig(c config.Config) map[string]any {
	m, _ := plain(reflect.ValueOf(c)).(map[string]any)
	return m
}

// plain makes maps of structs, by their koanf names.
func plain(v reflect.Value) any {
	switch x := v.Interface().(type) {
	case time.Duration:
		return x.String()
	case config.Size:
		return x.String()
	}
	switch v.Kind() {
	case reflect.Struct:
		m := map[string]any{}
		for n := range v.NumField() {
			key := v.Type().Field(n).Tag.Get("koanf")
			if v.Field(n).Kind() == reflect.Interface { // a plugin's own section
				m[key] = withoutSecrets(v.Field(n).Interface())
				continue
			}
			m[key] = plain(v.Field(n))
		}
		return m
	case reflect.Map:
		m := map[string]any{}
		for each := v.MapRange(); each.Next(); {
			m[each.Key().String()] = plain(each.Value())
		}
		return m
	case reflect.Slice:
		list := make([]any, 0, v.Len())
		for n := range v.Len() {
			list = append(list, plain(v.Index(n)))
		}
		return list
	}
	return v.Interface()
}

// withoutSecrets is a copy of a JSON-like value in which secrets are hidden.
func withoutSecrets(v any) any {
	switch v := v.(type) {
	case map[string]any:
		m := make(map[string]any, len(v))
		for key, e := range v {
			if isSecret(key) {
				m[key] = hidden
				continue
			}
			m[key] = withoutSecrets(e)
		}
		return m
	case []any:
		list := make([]any, len(v))
		for n, e := range v {
			list[n] = withoutSecrets(e)
		}
		return list
	case string:
		return userInfo.ReplaceAllString(v, "${1}"+hidden+"@")
	case nil, bool, float64, int, int64, uint64:
		return v
	}
	return fmt.Sprintf("a %T", v) // configuration has no other types
}

// userInfo is the password in a URL (RFC 3986, section 3.2.1).
var userInfo = regexp.MustCompile(`(\b[A-Za-z][A-Za-z0-9+.-]*://[^\s/?#@:]*:)[^\s/?#]*@`)

// isSecret tells by its name whether a value must not be shown.
func isSecret(key string) bool {
	flat := strings.Map(func(r rune) rune {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			return -1
		}
		return unicode.ToLower(r)
	}, key)
	for _, part := range []string{
		"password", "passwd", "passphrase", "secret", "token", "credential", "apikey", "privatekey",
	} {
		if strings.Contains(flat, part) {
			return true
		}
	}
	for _, word := range words(key) {
		switch word {
		case "key", "keys", "pass", "pwd", "auth", "psk", "salt":
			return true
		}
	}
	return false
}

// words splits a name: api_key, apiKey and api-key are api and key.
func words(name string) []string {
	var b strings.Builder
	lower := false
	for _, r := range name {
		if unicode.IsUpper(r) && lower {
			b.WriteByte(' ')
		}
		lower = unicode.IsLower(r) || unicode.IsDigit(r)
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			r = ' '
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return strings.Fields(b.String())
}

package config

import (
	"path/filepath"
	"strings"
)

// rebase is a setting's text with its relative path begun at dir, which is the
// configuration file's folder; "" = the working directory. A text that names no file
// stays as it is.
func rebase(pattern, text, dir string) string {
	prefix := pathPrefix(pattern, text)
	path, names := strings.CutPrefix(text, prefix)
	if !names || path == "" || path[0] == '@' && prefix == unixPrefix || filepath.IsAbs(path) {
		return text // @NAME is an abstract socket of Linux
	}
	if dir != "" && !isWord(pattern, text) {
		path = filepath.Join(dir, path)
	}
	// what a guest asks for is compared with it
	if pattern == "plugins.*.allow.connect.*" || pattern == "plugins.*.allow.listen.*" {
		if abs, err := filepath.Abs(path); err == nil {
			path = abs
		}
	}
	return prefix + path
}

const (
	unixPrefix = "unix://"
	// noFile is no text's beginning: textFault refuses it.
	noFile = "\x00"
)

// pathPrefix is what stands before the path in a setting's text, or noFile.
func pathPrefix(pattern, text string) string {
	switch pattern {
	case "plugins.*.module", "plugins.*.assets", "cache.dir", "state.dir", "plugins.*.allow.ca",
		"plugins.*.allow.tls.cert", "plugins.*.allow.tls.key", "plugins.*.allow.tls.client_ca",
		"plugins.*.allow.tls.certificates.*.cert", "plugins.*.allow.tls.certificates.*.key",
		"listeners.*.tls.cert", "listeners.*.tls.key", "listeners.*.tls.client_ca",
		"listeners.*.tls.certificates.*.cert", "listeners.*.tls.certificates.*.key",
		"admin.token_file", "admin.tls.cert", "admin.tls.key", "admin.tls.client_ca":
		return ""
	case "admin.listen", "monitor.listen", "listeners.*.endpoint", "plugins.*.allow.connect.*",
		"plugins.*.allow.listen.*":
		return unixPrefix
	case "access_log.to":
		return "file://"
	}
	return noFile
}

// IsFile tells whether a plugin's module is a file: not one that the program carries, or
// that is fetched. Nor is http://, which is refused.
func IsFile(module string) bool {
	for _, prefix := range []string{"builtin:", "https://", "http://", "oci://"} {
		if strings.HasPrefix(module, prefix) {
			return false
		}
	}
	return true
}

// isWord tells the words that stand where a file may.
func isWord(pattern, text string) bool {
	switch pattern {
	case "plugins.*.module":
		return !IsFile(text)
	case "cache.dir", "state.dir":
		return text == "off"
	}
	return false
}

package command

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/internal/lines"
)

func newPlugin(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "plugin", Short: "List and change the plugins of a running host"}
	group(cmd)
	cmd.AddCommand(newPluginList(a), newPluginLoad(a), newPluginReload(a), newPluginUse(a), newPluginUnpin(a),
		newPluginHistory(a), newPluginUnload(a),
		newPluginTrace(a), newPluginProfile(a))
	return cmd
}

func newPluginList(a *app) *cobra.Command {
	path := func() string { return "/v1/plugins" }
	type list struct {
		Plugins []host.PluginInfo `json:"plugins"`
	}
	return newList(a, "list", "List the plugins that run", path, func(w io.Writer, l list) error {
		return printPlugins(w, l.Plugins)
	})
}

// newList is a command that shows what a running host answers on a path.
func newList[T any](a *app, use, short string, path func() string, show func(io.Writer, T) error) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: arguments()}
	endpoint, format := adminFlag(cmd), outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := a.client(*endpoint)
		if err != nil {
			return err
		}
		var list T
		if err := c.ask(cmd.Context(), http.MethodGet, path(), nil, &list); err != nil {
			return err
		}
		if *format == "json" {
			return printJSON(a.stdout, list)
		}
		return show(a.stdout, list)
	}
	return cmd
}

func printPlugins(w io.Writer, list []host.PluginInfo) error {
	t := newTable(w, "NAME", "STATE", "VERSION", "ISOLATION", "CONNS", "INSTANCES", "MEMORY", "TRAPS", "MODULE", "NOTE")
	for _, p := range list {
		var traps uint64
		for _, n := range p.Traps {
			traps += n
		}
		note := p.Reason
		if note == "" && p.Failure != "" {
			note = "the last change failed: " + p.Failure
		}
		if p.PinnedAt != nil {
			note = strings.TrimPrefix(note+"; pinned since "+p.PinnedAt.Local().Format(time.DateTime), "; ")
		}
		if p.Trace != "" {
			note = strings.TrimPrefix(note+"; traced: "+p.Trace, "; ")
		}
		t.row(p.Name, p.State, p.Active, string(p.Isolation), fmt.Sprint(p.Connections), fmt.Sprint(p.Instances),
			bytesText(p.Memory), fmt.Sprint(traps), p.Module, note)
		for _, v := range p.Versions {
			if v.Name != p.Active {
				note := ""
				if v.State == host.StateLoading {
					note = fmt.Sprintf("compiling, %.0f s", time.Since(v.Since).Seconds())
				}
				t.row("", string(v.State), v.Name, "", fmt.Sprint(v.Connections), fmt.Sprint(v.Instances), "", "", "",
					note)
			}
		}
	}
	return t.Flush()
}

// bytesText is a number of bytes for people.
func bytesText(n uint64) string {
	for _, unit := range []string{"B", "KiB", "MiB"} {
		if n < 10<<10 {
			return fmt.Sprintf("%d %s", n, unit)
		}
		n >>= 10
	}
	return fmt.Sprintf("%d GiB", n)
}

func newPluginLoad(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "load NAME MODULE",
		Short: "Load a plugin into a running host",
		Long: "Load a plugin into a running host. MODULE is builtin:NAME, the path of a .wasm\n" +
			"file, https://… or oci://HOST/NAME:TAG. The next reload of the configuration\n" +
			"unloads it again, unless the configuration has it, or --save: then it is in the\n" +
			"host's state, and stays over reloads and restarts. No configuration file is changed.",
		Example: "  wirehost plugin load gopher ./gopher.wasm --listen tcp://127.0.0.1:7070 --with config.root=/srv",
		Args:    arguments("NAME", "MODULE"),
	}
	endpoint, format := adminFlag(cmd), outputFlag(cmd)
	listen := cmd.Flags().String("listen", "", "listen for it on `ENDPOINT`")
	with := cmd.Flags().StringArray("with", nil,
		"one `KEY=VALUE` of the plugin's section, such as isolation=shared; may be repeated")
	wait := cmd.Flags().Bool("wait", false, "where it does not start, wait until it does")
	save := saveFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		path, err := pluginPath(args[0])
		if err != nil {
			return err
		}
		section, err := sectionOf(args[1], *listen, *with)
		if err != nil {
			return err
		}
		c, err := a.client(*endpoint)
		if err != nil {
			return err
		}
		var change host.Change
		stop := a.waiting("loading " + args[0])
		err = c.ask(cmd.Context(), http.MethodPost, path+save.query(), section, &change)
		if stop(); err != nil {
			return err
		}
		if err := a.printSaved(change, *format, *save); err != nil {
			return err
		}
		return c.starts(cmd.Context(), path, *wait)
	}
	return cmd
}

// sectionOf is a plugin's section as the administration wants it.
func sectionOf(module, listen string, with []string) (map[string]any, error) {
	if config.IsFile(module) {
		abs, err := filepath.Abs(module)
		if err != nil {
			return nil, err
		}
		module = abs
	}
	section := map[string]any{"module": module}
	if file, is := strings.CutPrefix(listen, "unix://"); is && !strings.HasPrefix(file, "@") {
		abs, err := filepath.Abs(file)
		if err != nil {
			return nil, err
		}
		listen = "unix://" + abs
	}
	if listen != "" {
		section["listener"] = map[string]any{"endpoint": listen}
	}
	for _, text := range with {
		key, value, ok := strings.Cut(text, "=")
		keys := strings.Split(key, ".")
		if !ok || slices.Contains(keys, "") {
			return nil, &usageError{fmt.Errorf("--with: found %q, wanted KEY=VALUE, such as limits.memory=16MiB", text)}
		}
		v, err := config.ParseSetting("--with", key, value)
		if err != nil {
			return nil, &usageError{err}
		}
		into := section
		for _, k := range keys[:len(keys)-1] {
			inner, ok := into[k].(map[string]any)
			if !ok {
				inner = map[string]any{}
				into[k] = inner
			}
			into = inner
		}
		if folder, is := v.(string); is && key == "assets" && folder != "" {
			if v, err = filepath.Abs(folder); err != nil {
				return nil, err
			}
		}
		into[keys[len(keys)-1]] = v
	}
	return section, nil
}

func newPluginReload(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "reload NAME",
		Short: "Read a plugin's module again, and go over to it where it has changed",
		Args:  arguments("NAME"),
	}
	force := cmd.Flags().Bool("force", false, "go over to the same bytes too")
	return a.versionCommand(cmd, func(args []string) (string, string, any) {
		return args[0], "reload", map[string]any{"force": *force}
	})
}

func newPluginUse(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "use NAME@VERSION",
		Short: "Go back to a version that is still loaded, and pin it",
		Long: "Go back to a version that is still loaded, of which a plugin has as many as\n" +
			"keep_versions says, and pin it: it stays active until the bytes of the configured\n" +
			"module change again, or until 'plugin unpin'. Neither a reload of the configuration\n" +
			"nor a restart ends that.",
		Args: arguments("NAME@VERSION"),
	}
	return a.versionCommand(cmd, func(args []string) (string, string, any) {
		name, _, _ := strings.Cut(args[0], "@")
		return name, "use", map[string]any{"version": args[0]}
	})
}

// versionCommand completes a command that changes a plugin's version. request
// gives the plugin, the last part of the path, and the body.
func (a *app) versionCommand(cmd *cobra.Command,
	request func(args []string) (plugin, what string, body any)) *cobra.Command {
	endpoint, format := adminFlag(cmd), outputFlag(cmd)
	from := pluginNames
	if cmd.Name() == "use" {
		from = versionNames
	}
	cmd.ValidArgsFunction = a.completion(endpoint, from, !many)
	wait := cmd.Flags().Bool("wait", false, "wait until the last connection of the previous version has ended")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		name, what, body := request(args)
		if what == "use" && name == args[0] {
			return &usageError{fmt.Errorf("found %q, wanted NAME@VERSION, as 'wirehost plugin list' has it", args[0])}
		}
		c, path, err := a.pluginClient(*endpoint, name)
		if err != nil {
			return err
		}
		var out host.Outcome
		stop := a.waiting("changing " + name)
		err = c.ask(cmd.Context(), http.MethodPost, path+"/"+what, body, &out)
		if stop(); err != nil {
			return err
		}
		if *format == "json" {
			err = printJSON(a.stdout, out)
		} else {
			_, err = fmt.Fprintln(a.stdout, lines.Visible(outcomeText(out)))
		}
		if err != nil || !*wait || out.Previous == "" {
			return err
		}
		return c.drained(cmd.Context(), out.Previous)
	}
	return cmd
}

// outcomeText is a change of version on one line, with what became of the
// connections: migrated 398, kept 2: restoreState refused (7).
func outcomeText(o host.Outcome) string {
	if o.Unchanged {
		if o.Pinned {
			return o.Version + " is unchanged: it is pinned"
		}
		return o.Version + " is unchanged"
	}
	s := o.Version + " is active"
	if o.Previous != "" {
		s += ", before it " + o.Previous
	}
	var parts []string
	if o.Migrated > 0 || len(o.Kept) == 0 && o.Dropped == 0 {
		parts = append(parts, fmt.Sprintf("migrated %d", o.Migrated))
	}
	for _, why := range slices.Sorted(maps.Keys(o.Kept)) {
		parts = append(parts, fmt.Sprintf("kept %d: %s", o.Kept[why], why))
	}
	if o.Dropped > 0 {
		parts = append(parts, fmt.Sprintf("dropped %d", o.Dropped))
	}
	s += ": " + strings.Join(parts, ", ")
	if o.Why != "" {
		s += fmt.Sprintf(" (%s, because %s)", o.Policy, o.Why)
	}
	if o.Canary != "" {
		s += "; " + o.Canary
	}
	if o.Pinned {
		s += "; pinned until the module's bytes change, or 'wirehost plugin unpin " + o.Plugin + "'"
	}
	return s
}

func newPluginUnload(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "unload NAME",
		Short: "Unload a plugin and its listeners; its connections may finish",
		Long: "Unload a plugin and its listeners; its connections may finish. The next reload of\n" +
			"the configuration loads it again, where the configuration has it, unless --save:\n" +
			"then the host's state says that it stays away. No configuration file is changed;\n" +
			"'plugin load --save' has it back.",
		Args: arguments("NAME"),
	}
	endpoint, format := adminFlag(cmd), outputFlag(cmd)
	cmd.ValidArgsFunction = a.completion(endpoint, pluginNames, !many)
	wait := cmd.Flags().Bool("wait", false, "wait until its last connection has ended")
	save := saveFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, path, err := a.pluginClient(*endpoint, args[0])
		if err != nil {
			return err
		}
		var was host.PluginInfo
		if err := c.ask(cmd.Context(), http.MethodGet, path, nil, &was); err != nil {
			return err
		}
		var change host.Change
		if err := c.ask(cmd.Context(), http.MethodDelete, path+save.query(), nil, &change); err != nil {
			return err
		}
		if err := a.printSaved(change, *format, *save); err != nil || !*wait {
			return err
		}
		var versions []string
		for _, v := range was.Versions {
			versions = append(versions, v.Name)
		}
		return c.drained(cmd.Context(), versions...)
	}
	return cmd
}

// pluginClient is a client, and where its host's administration has a plugin.
func (a *app) pluginClient(endpoint, name string) (c *client, path string, err error) {
	if path, err = pluginPath(name); err != nil {
		return nil, "", err
	}
	c, err = a.client(endpoint)
	return c, path, err
}

// pluginPath is where the administration has a plugin. What a URL has another
// meaning for is no name: /v1/plugins/./trace is the plugin "trace".
func pluginPath(name string) (string, error) {
	if strings.Trim(name, ".") == "" {
		return "", &usageError{fmt.Errorf("found the name %q, wanted a plugin's", name)}
	}
	return "/v1/plugins/" + url.PathEscape(name), nil
}

func (a *app) printChange(c host.Change, format output) error {
	if format == "json" {
		return printJSON(a.stdout, c)
	}
	for _, line := range c.Lines() {
		if _, err := fmt.Fprintln(a.stdout, lines.Visible(line)); err != nil {
			return err
		}
	}
	return nil
}

// plural is n and a noun.
func plural(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprint(n, " ", noun)
}

package command

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/internal/bounded"
	"github.com/wirehost/wirehost/internal/lines"
)

// app is what the commands share.
type app struct {
	args           []string // the command line's, without the program's name
	env            []string
	stdout, stderr io.Writer
	file           string // --config
	files          *bounded.Reader
	flags          *pflag.FlagSet                     // those of every command
	excused        *atomic.Int32                      // signals that have ended less than the process
	begun          bool                               // a command runs: the command line was right
	asked          *pflag.FlagSet                     // the flags of the command that runs; nil = none does
	compiler       []string                           // the command line that compiles a module
	origins        *atomic.Pointer[map[string]string] // of the configuration that was read last
	queues         *queues                            // of a command that serves; nil = none
}

// Tree are the commands, for who describes them. They are not to be run.
func Tree() *cobra.Command { return newRoot(&app{stdout: io.Discard, stderr: io.Discard}) }

// newRoot makes the tree of commands. Each is made in a file of its own.
func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "wirehost",
		Short: "Serve network protocols that are WebAssembly modules",
		PersistentPreRun: func(cmd *cobra.Command, _ []string) {
			a.begun, a.asked = true, cmd.Flags()
		},
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	a.files, a.origins = newFiles(), &atomic.Pointer[map[string]string]{}
	group(root)
	a.flags = root.PersistentFlags()
	a.flags.StringVarP(&a.file, "config", "c", "", "configuration `FILE`: YAML, or by its extension TOML or JSON")
	config.AddFlags(a.flags)
	_ = root.MarkPersistentFlagFilename("config", "yaml", "yml", "toml", "json") // fails without the flag alone
	root.AddCommand(newServe(a), newValidate(a), newInspect(a), newPlugin(a), newConns(a), newStatus(a), newHealth(a),
		newReload(a), newUpgrade(a), newConfig(a), newListeners(a), newTop(a), newTest(a), newNew(a), newDev(a),
		newVersion(a))
	root.SetHelpCommand(newHelp(root))
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.InitDefaultCompletionCmd() // keeps the output that is set now
	for _, cmd := range root.Commands() {
		if cmd.Name() == "completion" {
			group(cmd) // cobra's answers unknown shells with its help and exit code 0
		}
	}
	return root
}

// group makes cmd one that only holds others.
func group(cmd *cobra.Command) {
	cmd.Args = cobra.ArbitraryArgs
	cmd.SuggestionsMinimumDistance = 2 // edits
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return &usageError{fmt.Errorf("no command given")}
		}
		return unknown(cmd, args[0])
	}
}

// arguments makes cmd take as many arguments as names.
func arguments(names ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return fmt.Errorf("found no %s", names[len(args)])
		case len(args) > len(names):
			return fmt.Errorf("found the argument %q, wanted none after %s", args[len(names)],
				orElse(strings.Join(names, " "), "the command"))
		}
		return nil
	}
}

// unknown says that cmd has no command of that name.
func unknown(cmd *cobra.Command, name string) error {
	hint := ""
	if near := cmd.SuggestionsFor(name); len(near) > 0 {
		hint = fmt.Sprintf(", did you mean %s?", strings.Join(near, " or "))
	}
	return &usageError{fmt.Errorf("unknown command %q%s", name, hint)}
}

// newHelp is cobra's help, but an unknown command is wrong usage.
func newHelp(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Help about a command",
		RunE: func(_ *cobra.Command, args []string) error {
			cmd, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return unknown(root, strings.Join(args, " "))
			}
			return cmd.Help()
		},
	}
}

// load reads the configuration. It does not wait for its file for ever.
func (a *app) load(ctx context.Context) (config.Config, error) {
	read := func(path string) ([]byte, error) { return a.files.Read(ctx, path, bounded.MaxText) }
	return config.Load(config.Options{File: a.file, ReadFile: read, Env: a.env, Flags: a.flags,
		Origins: func(all map[string]string) { a.origins.Store(&all) }})
}

// newFiles reads what the command is told to read. A pipe may come from a program
// that asks another machine first.
func newFiles() *bounded.Reader {
	return &bounded.Reader{Open: bounded.OpenAny, Quiet: 2 * bounded.DefaultQuiet}
}

// logger logs to stderr.
func (a *app) logger(c config.Log) hclog.Logger { return lines.Logger(a.stderr, c.Level, c.Format) }

// outputFlag adds -o, for commands that print a table.
func outputFlag(cmd *cobra.Command) *output {
	o := output("text")
	cmd.Flags().VarP(&o, "output", "o", "print `FORMAT`: text or json")
	// fails without the flag alone
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "json"},
		cobra.ShellCompDirectiveNoFileComp))
	return &o
}

// output is a format that a command prints in.
type output string

func (o *output) String() string { return string(*o) }
func (o *output) Type() string   { return "FORMAT" }

// Set takes the flag's value.
func (o *output) Set(s string) error {
	if s != "text" && s != "json" {
		return fmt.Errorf("found %q, wanted text or json", s)
	}
	*o = output(s)
	return nil
}

package meter

import "github.com/wirehost/wirehost/internal/wasmbin"

// graph is the module's call graph. Its nodes are the functions that the
// module defines, and behind them one node for each type that call_indirect
// names: a call of that type may reach any function of the type that can be in
// a table. Host functions never call back into the instance (ABI, rule 2), so
// calls of imports are no edges.
type graph struct {
	p      *plan
	tables [][]uint32 // by node of a type: the functions that it reaches
	nodeOf []uint32   // by type: its node
}

func newGraph(p *plan) *graph {
	g := &graph{p: p, nodeOf: make([]uint32, len(p.m.Types))}
	n := uint32(len(p.functions))
	// Equal types are one node: call_indirect compares structure.
	nodes := map[string]uint32{}
	for i, t := range p.m.Types {
		key := typeKey(t.Params, t.Results)
		node, ok := nodes[key]
		if !ok {
			node = n + uint32(len(g.tables))
			nodes[key] = node
			g.tables = append(g.tables, nil)
		}
		g.nodeOf[i] = node
	}
	for f, in := range p.inTables() {
		if in {
			node := g.nodeOf[p.m.Functions[f]] - n
			g.tables[node] = append(g.tables[node], uint32(f))
		}
	}
	return g
}

// inTables marks the functions that a table can come to hold: those that a
// segment, a global or ref.func names. An export does not count: nobody but the
// host can take it, and a module that imports a table has all its functions
// counted.
func (p *plan) inTables() []bool {
	m := p.m
	in := make([]bool, len(p.functions))
	mark := func(f uint32) {
		if f >= p.imported {
			in[f-p.imported] = true
		}
	}
	for i := range m.Elements {
		for _, f := range m.Elements[i].Functions {
			mark(f)
		}
		for _, x := range m.Elements[i].Exprs {
			if x.Op == wasmbin.OpRefFunc {
				mark(x.Index)
			}
		}
	}
	for i := range m.Globals {
		if x := m.Globals[i].Init; x.Op == wasmbin.OpRefFunc {
			mark(x.Index)
		}
	}
	for f, is := range p.referred {
		if is {
			mark(uint32(f))
		}
	}
	return in
}

// visit is one step of the depth-first walk.
type visit struct {
	node uint32
	next int // edge to follow
}

func (g *graph) edge(node uint32, i int) (uint32, bool) {
	n := uint32(len(g.p.functions))
	if node >= n {
		t := g.tables[node-n]
		if i >= len(t) {
			return 0, false
		}
		return t[i], true
	}
	f := &g.p.functions[node]
	if i < len(f.calls) {
		return f.calls[i], true
	}
	if i -= len(f.calls); i < len(f.indirect) {
		return g.nodeOf[f.indirect[i]], true
	}
	return 0, false
}

// countStack finds the functions whose frames must be counted: those in cycles
// (Tarjan's strongly connected components, without recursion of our own), and
// all, should a chain of the others alone take too much.
func (p *plan) countStack() {
	if p.importsTable() {
		p.countAll()
		return
	}
	g := newGraph(p)
	nodes := len(p.functions) + len(g.tables)
	w := walk{
		g: g, index: make([]uint32, nodes), low: make([]uint32, nodes), onStack: make([]bool, nodes),
		below: make([]uint64, nodes),
	}
	for n := range p.functions {
		if w.index[n] == 0 {
			w.from(uint32(n))
		}
	}
	for n := range p.functions {
		if w.below[n] > uint64(p.o.StackBytes)/2 {
			p.countAll()
			return
		}
	}
}

func (p *plan) importsTable() bool { return p.m.ImportedTables() > 0 }

func (p *plan) countAll() {
	for i := range p.functions {
		p.functions[i].counted = !p.functions[i].light
	}
}

type walk struct {
	g       *graph
	index   []uint32 // order of discovery, from 1
	low     []uint32
	onStack []bool
	stack   []uint32
	visits  []visit
	found   uint32
	below   []uint64 // bytes of the longest chain of uncounted frames from here
}

func (w *walk) discover(n uint32) {
	w.found++
	w.index[n], w.low[n] = w.found, w.found
	w.stack = append(w.stack, n)
	w.onStack[n] = true
	w.visits = append(w.visits, visit{node: n})
}

func (w *walk) from(root uint32) {
	w.discover(root)
	for len(w.visits) > 0 {
		v := &w.visits[len(w.visits)-1]
		to, ok := w.g.edge(v.node, v.next)
		if ok {
			v.next++
			switch {
			case w.index[to] == 0:
				w.discover(to)
			case w.onStack[to]:
				w.low[v.node] = min(w.low[v.node], w.index[to])
			}
			continue
		}
		n := v.node
		w.visits = w.visits[:len(w.visits)-1]
		if len(w.visits) > 0 {
			parent := w.visits[len(w.visits)-1].node
			w.low[parent] = min(w.low[parent], w.low[n])
		}
		if w.low[n] == w.index[n] {
			w.component(n)
		}
	}
}

// component takes a whole component off the stack. All that it calls outside
// itself has been seen.
func (w *walk) component(root uint32) {
	at := len(w.stack) - 1
	for w.stack[at] != root {
		at--
	}
	members := w.stack[at:]
	cyclic := len(members) > 1 || w.callsItself(root)
	below := uint64(0)
	for _, n := range members {
		w.onStack[n] = false
		for i := 0; ; i++ {
			to, ok := w.g.edge(n, i)
			if !ok {
				break
			}
			below = max(below, w.below[to])
		}
	}
	functions := w.g.p.functions
	for _, n := range members {
		w.below[n] = below
		if int(n) >= len(functions) {
			continue
		}
		if cyclic {
			functions[n].counted = true
		} else {
			w.below[n] += uint64(functions[n].frame)
		}
	}
	w.stack = w.stack[:at]
}

func (w *walk) callsItself(n uint32) bool {
	for i := 0; ; i++ {
		to, ok := w.g.edge(n, i)
		if !ok || to == n {
			return ok
		}
	}
}

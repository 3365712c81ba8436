"""English words whose forms no rule of suffixes brings together: irregular verbs and plurals, by their plain form.

A form that is the commoner as a word of its own is left out ("saw" is here: people see more often than they saw;
"ground", "lay", "bore" and "rose" are not).
"""

from typing import Final

_FORMS: Final = """
arise arose arisen
awake awoke awoken
bear borne
beat beaten
become became
begin began begun
bend bent
bet betted
bind bound
bite bit bitten
bleed bled
blow blew blown
break broke broken
breed bred
bring brought
build built
burn burnt
buy bought
catch caught
choose chose chosen
cling clung
come came
creep crept
deal dealt
die died dying
dig dug
draw drew drawn
dream dreamt
drink drank drunk
drive drove driven
eat ate eaten
fall fell fallen
feed fed
feel felt
fight fought
find found
flee fled
fly flew flown
forbid forbade forbidden
forget forgot forgotten
forgive forgave forgiven
freeze froze frozen
give gave given
go went gone
grow grew grown
hang hung
hear heard
hide hid hidden
hold held
keep kept
kneel knelt
know knew known
lead led
lean leant
learn learnt
leave left
lend lent
lie lying
lose lost
make made
mean meant
meet met
mistake mistook mistaken
overcome overcame
pay paid
prove proven
rebuild rebuilt
ride rode ridden
ring rang rung
rise risen
run ran
say said
see saw seen
seek sought
sell sold
send sent
sew sewn
shake shook shaken
shine shone
shoot shot
show shown
shrink shrank shrunk
sing sang sung
sink sank sunk
sit sat
sleep slept
slide slid
speak spoke spoken
spend spent
spin spun
spring sprang sprung
stand stood
steal stole stolen
stick stuck
sting stung
strike struck stricken
swear swore sworn
sweep swept
swell swollen
swim swam swum
swing swung
take took taken
teach taught
tear tore torn
tell told
think thought
throw threw thrown
undergo underwent undergone
understand understood
wake woke woken
wear wore worn
weave wove woven
weep wept
win won
withdraw withdrew withdrawn
wreak wrought
write wrote written
analysis analyses
axis axes
child children
crisis crises
criterion criteria
datum data
diagnosis diagnoses
foot feet
goose geese
half halves
hypothesis hypotheses
index indices
knife knives
leaf leaves
life lives
loaf loaves
man men
matrix matrices
mouse mice
person people
phenomenon phenomena
shelf shelves
thief thieves
tooth teeth
vertex vertices
wife wives
wolf wolves
woman women
"""

PLAIN: Final = {
    form: plain for line in _FORMS.split("\n") for plain, *forms in [line.split() or [""]] for form in forms
}
"""The plain form of each irregular one."""

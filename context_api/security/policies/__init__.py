"""Access policies: who may do what with which entities and attributes.

Policies are data: ODRL 2.2 in JSON-LD with a profile of ours. Nothing is allowed that no permission gives, and a
prohibition goes before every permission.

    model        a policy as the broker holds it, and what of it is about one caller
    profile      the words of the profile: namespace, @context, the operations behind each action
    personal     the attributes that tell nothing of a person
    odrl         JSON-LD -> policy; what is not understood is refused, for to leave out a limit would widen a right
                 (expanded, refinements and constraints read the parts)
    writing      policy -> JSON-LD, in the one form that is kept (query_text writes queries)
    checking     the shapes of policies, by which a document is judged before it is read
    taking       policies of requests: all three in their order
    decide       the plain decision on one entity: the meaning that queries are held to
    containment  may somebody grant this? Sure where it says yes
    ready        the policies that come with the software
    battery2life the permissions of another platform as policies
    tables       every version in the database
    keeping      the policies in force, as every process has them
    words        policies in plain English

Does not belong here: the restriction of queries that is compiled of policies, and who a caller is.
"""
